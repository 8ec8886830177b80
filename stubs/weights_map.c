/* Weights mapped in place: see weights_io.h.
 *
 * A mapping is MAP_SHARED of the container at the member's offset, so all programs that run the same file share one copy
 * in the page cache. It keeps a duplicate of the descriptor, and with that the shared lock, until all of it is unmapped.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, posix_madvise */
#endif

#include "complaint.h"
#include "open_weights.h"
#include "spin_lock.h"
#include "weights_io.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    /* llama.cpp aborts when a tensor's address is not a multiple of this (TENSOR_ALIGNMENT in ggml-backend.h). */
    TENSOR_ALIGN_BYTES = 32,
    POPULATE_READ = 22, /* MADV_POPULATE_READ since Linux 5.14; not every libc names it */
};

struct mapping {
    char *address; /* of the member's first byte */
    size_t length;
    size_t skew; /* bytes of the container that had to be mapped before it */
    size_t left; /* bytes not unmapped yet; llama.cpp unmaps in disjoint pieces */
    int fd;
    struct mapping *next;
};

static spin_lock busy = SPIN_LOCK_OPEN;
static struct mapping *newest;

/* On Linux weights that are not in memory yet are read in large pages, where the file system has them (ext4, XFS, btrfs of
 * late kernels): one entry of the TLB then covers 2 MiB. The kernel decides that as it reads, so it must be told before
 * MAP_POPULATE reads everything. A kernel that knows neither word reads as it always did. */
static char *map_in_place(size_t length, int protection, int flags, int fd, off_t offset) {
#if defined(__linux__) && defined(MADV_HUGEPAGE) && defined(MAP_POPULATE)
    char *start = mmap(NULL, length, protection, flags & ~MAP_POPULATE, fd, offset);
    if (start != MAP_FAILED) {
        bool is_told = madvise(start, length, MADV_HUGEPAGE) == 0;
        if (flags & MAP_POPULATE && !(is_told && madvise(start, length, POPULATE_READ) == 0)) {
            return mmap(start, length, protection, flags | MAP_FIXED, fd, offset);
        }
    }
    return start;
#else
    return mmap(NULL, length, protection, flags, fd, offset);
#endif
}

static void *map_copy(const struct open_weights *weights, uint64_t position, size_t length) {
    lfbuild_complain(weights->name,
                     "warning: the weights begin at byte %llu, which is not a multiple of %d, so they are copied into "
                     "memory instead of mapped; pack the file again with lfbuild",
                     (unsigned long long)weights->base, TENSOR_ALIGN_BYTES);
    void *copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) {
        return copy;
    }
    if (!lfbuild_platform_read_at(weights->fd, copy, length, position)) {
        munmap(copy, length);
        errno = EIO;
        return MAP_FAILED;
    }
    mprotect(copy, length, PROT_READ);
    return copy;
}

void *lfbuild_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    struct open_weights *weights = lfbuild_weights_of_fd(fd);
    if (!weights) {
        return mmap(address, length, protection, flags, fd, offset);
    }
    if (offset < 0 || length == 0 || (uint64_t)offset > weights->size_bytes ||
        length > weights->size_bytes - (uint64_t)offset) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    struct mapping *mapping = calloc(1, sizeof *mapping);
    if (!mapping) {
        return MAP_FAILED;
    }
    uint64_t position = weights->base + (uint64_t)offset;
    size_t skew = (size_t)(position % lfbuild_platform_map_granularity_bytes());
    bool in_place = skew % TENSOR_ALIGN_BYTES == 0;
    char *start = in_place ? map_in_place(length + skew, protection, flags, fd, (off_t)(position - skew))
                           : map_copy(weights, position, length);
    if (start == MAP_FAILED) {
        free(mapping);
        return MAP_FAILED;
    }
    skew = in_place ? skew : 0;
    *mapping = (struct mapping){
        .address = start + skew,
        .length = length,
        .skew = skew,
        .left = length,
        .fd = lfbuild_platform_duplicate(fd),
    };
    spin_lock_take(&busy);
    mapping->next = newest;
    newest = mapping;
    spin_lock_leave(&busy);
    return mapping->address;
}

/* Takes the piece off its mapping; *finished is the mapping when this was its last piece. False: not one of ours. */
static bool take_piece(const char *address, size_t length, size_t *skew, struct mapping **finished) {
    bool found = false;
    spin_lock_take(&busy);
    for (struct mapping **link = &newest; *link; link = &(*link)->next) {
        struct mapping *mapping = *link;
        if (address < mapping->address || address >= mapping->address + mapping->length) {
            continue;
        }
        found = true;
        *skew = mapping->skew;
        mapping->left -= length < mapping->left ? length : mapping->left;
        if (mapping->left == 0) {
            *finished = mapping;
            *link = mapping->next;
        }
        break;
    }
    spin_lock_leave(&busy);
    return found;
}

int lfbuild_munmap(void *address, size_t length) {
    struct mapping *finished = NULL;
    size_t skew = 0;
    int result = 0;
    if (!take_piece(address, length, &skew, &finished) || skew == 0) {
        result = munmap(address, length);
    } else if (finished) {
        /* Pieces of a mapping that begins inside a page do not begin on pages either: all of it goes with the last. */
        result = munmap(finished->address - skew, finished->length + skew);
    }
    if (finished) {
        if (finished->fd >= 0) {
            lfbuild_platform_close(finished->fd);
        }
        free(finished);
    }
    return result;
}

int lfbuild_posix_madvise(void *address, size_t length, int advice) {
    size_t before = (size_t)((uintptr_t)address % (uintptr_t)sysconf(_SC_PAGESIZE));
    return posix_madvise((char *)address - before, length + before, advice);
}
