/* Weights as file descriptors, which llama.cpp uses for direct I/O: see weights_io.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_DIRECT */
#endif

#include "member_file.h"
#include "open_weights.h"
#include "weights_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

enum {
    DIRECT_IO_ALIGN_BYTES = 4096,
};

/* Cosmopolitan and macOS have no direct I/O by a flag; there nothing asks for it. */
#ifdef O_DIRECT
#define DIRECT_FLAG O_DIRECT
#else
#define DIRECT_FLAG 0
#endif

/* A member that does not begin on a block is read through the page cache: right, if slower. */
static bool set_direct(int fd, const struct lfbuild_span *span) {
    if (span->offset % DIRECT_IO_ALIGN_BYTES != 0) {
        return true;
    }
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | DIRECT_FLAG) == 0;
}

static int open_span(const char *name, const struct lfbuild_span *span, int flags) {
    bool direct = (flags & DIRECT_FLAG) != 0;
    if ((!direct || set_direct(span->fd, span)) && lseek(span->fd, (off_t)span->offset, SEEK_SET) >= 0 &&
        lfbuild_weights_add(NULL, span->fd, name, span->offset, span->size_bytes)) {
        return span->fd;
    }
    lfbuild_platform_close(span->fd);
    return -1;
}

int lfbuild_open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list rest;
        va_start(rest, flags);
        mode = (mode_t)va_arg(rest, int);
        va_end(rest);
    }
    struct lfbuild_span span;
    switch ((flags & O_ACCMODE) == O_RDONLY ? lfbuild_find_weights(path, &span) : LFBUILD_PLAIN_FILE) {
    case LFBUILD_MEMBER:
        return open_span(path, &span, flags);
    case LFBUILD_REFUSED:
        return -1;
    default:
        return open(path, flags, mode);
    }
}

int lfbuild_close(int fd) {
    struct open_weights *weights = lfbuild_weights_of_fd(fd);
    if (weights) {
        lfbuild_weights_remove(weights);
    }
    return close(fd);
}

static uint64_t position_of(const struct open_weights *weights) {
    off_t position = lseek(weights->fd, 0, SEEK_CUR);
    return position < 0 || (uint64_t)position < weights->base ? 0 : (uint64_t)position - weights->base;
}

ssize_t lfbuild_read(int fd, void *target, size_t size_bytes) {
    struct open_weights *weights = lfbuild_weights_of_fd(fd);
    if (!weights) {
        return read(fd, target, size_bytes);
    }
    uint64_t position = position_of(weights);
    if (position >= weights->size_bytes) {
        return 0;
    }
    uint64_t left = weights->size_bytes - position;
    /* Direct I/O takes whole blocks only, so the read itself may run past the member's end (the caller's buffer has room
     * for it); what lies there is cut off, and the position goes back to the end. */
    ssize_t got = read(fd, target, size_bytes);
    if (got < 0 || (uint64_t)got <= left) {
        return got;
    }
    if (lseek(fd, (off_t)(weights->base + weights->size_bytes), SEEK_SET) < 0) {
        return -1;
    }
    return (ssize_t)left;
}

off_t lfbuild_lseek(int fd, off_t offset, int whence) {
    struct open_weights *weights = lfbuild_weights_of_fd(fd);
    if (!weights) {
        return lseek(fd, offset, whence);
    }
    off_t limit = (off_t)(INT64_MAX - (int64_t)weights->base);
    off_t from = whence == SEEK_CUR ? (off_t)position_of(weights) : whence == SEEK_END ? (off_t)weights->size_bytes : 0;
    if ((whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END) || offset < -from ||
        (offset > 0 && from > limit - offset)) {
        errno = EINVAL;
        return -1;
    }
    off_t position = lseek(fd, (off_t)weights->base + from + offset, SEEK_SET);
    return position < 0 ? -1 : position - (off_t)weights->base;
}

int lfbuild_fstat(int fd, struct stat *facts) {
    struct open_weights *weights = lfbuild_weights_of_fd(fd);
    int result = fstat(fd, facts);
    if (result == 0 && weights) {
        facts->st_size = (off_t)weights->size_bytes;
    }
    return result;
}

int lfbuild_posix_fadvise(int fd, off_t offset, off_t length, int advice) {
#if defined(__linux__) || defined(__COSMOPOLITAN__)
    struct open_weights *weights = lfbuild_weights_of_fd(fd);
    if (!weights) {
        return posix_fadvise(fd, offset, length, advice);
    }
    off_t left = offset < (off_t)weights->size_bytes ? (off_t)weights->size_bytes - offset : 0;
    return posix_fadvise(fd, (off_t)weights->base + offset, length && length < left ? length : left, advice);
#else
    (void)fd, (void)offset, (void)length, (void)advice;
    return 0; /* advice only, and macOS has no such call */
#endif
}
