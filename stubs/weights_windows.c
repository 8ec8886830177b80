/* Weights by Windows' own handles, read and mapped in place: see weights_windows.h.
 *
 * llama.cpp takes the HANDLE below a stream that this layer opened. A mapping it makes of one is of the whole container,
 * the view of it begins at the member, so all programs that run the same file share one copy in the system's cache. A
 * mapping keeps a duplicate of the descriptor, and with that the shared lock, until mapping and view are both gone.
 */
#include "weights_windows.h"

#include "complaint.h"
#include "open_weights.h"
#include "spin_lock.h"

#include <io.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* llama.cpp aborts when a tensor's address is not a multiple of this (TENSOR_ALIGNMENT in ggml-backend.h). */
    TENSOR_ALIGN_BYTES = 32,
};

struct mapping {
    HANDLE handle; /* NULL when it was closed before its view */
    uint64_t base;
    size_t length;
    int fd;
    char *name;
    char *view; /* of the member's first byte; NULL when there is none */
    size_t skew; /* bytes of the container that had to be mapped before it */
    bool copied;
    struct mapping *next;
};

static spin_lock busy = SPIN_LOCK_OPEN;
static struct mapping *newest;

static bool stands_on(const struct open_weights *weights, void *handle) {
    return (HANDLE)_get_osfhandle(weights->fd) == handle;
}

static struct open_weights *weights_of(HANDLE handle) {
    return lfbuild_weights_find(stands_on, handle);
}

static BOOL refuse(DWORD error) {
    SetLastError(error);
    return FALSE;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Of a handle that stands before the member, which nobody sets so, the member's first byte is next. */
static bool find_position(HANDLE handle, const struct open_weights *weights, uint64_t *position) {
    LARGE_INTEGER nowhere = {.QuadPart = 0}, at;
    if (!SetFilePointerEx(handle, nowhere, &at, FILE_CURRENT)) {
        return false;
    }
    *position = (uint64_t)at.QuadPart < weights->base ? 0 : (uint64_t)at.QuadPart - weights->base;
    return true;
}

BOOL lfbuild_set_file_pointer(HANDLE handle, LARGE_INTEGER offset, LARGE_INTEGER *position, DWORD whence) {
    struct open_weights *weights = weights_of(handle);
    if (!weights) {
        return SetFilePointerEx(handle, offset, position, whence);
    }
    uint64_t from = whence == FILE_END ? weights->size_bytes : 0;
    if (whence > FILE_END) {
        return refuse(ERROR_INVALID_PARAMETER);
    }
    if (whence == FILE_CURRENT && !find_position(handle, weights, &from)) {
        return FALSE;
    }
    if (offset.QuadPart < 0 && (uint64_t)-(offset.QuadPart + 1) >= from) {
        return refuse(ERROR_NEGATIVE_SEEK);
    }
    uint64_t target = from + (uint64_t)offset.QuadPart; /* wraps as intended when offset is negative */
    if (target > (uint64_t)INT64_MAX - weights->base) {
        return refuse(ERROR_INVALID_PARAMETER);
    }
    LARGE_INTEGER absolute = {.QuadPart = (int64_t)(weights->base + target)};
    if (!SetFilePointerEx(handle, absolute, NULL, FILE_BEGIN)) {
        return FALSE;
    }
    if (position) {
        position->QuadPart = (int64_t)target;
    }
    return TRUE;
}

BOOL lfbuild_read_file(HANDLE handle, void *target, DWORD size_bytes, DWORD *got, OVERLAPPED *where) {
    struct open_weights *weights = weights_of(handle);
    if (!weights) {
        return ReadFile(handle, target, size_bytes, got, where);
    }
    uint64_t position;
    if (where || !got) {
        return refuse(ERROR_NOT_SUPPORTED);
    }
    if (!find_position(handle, weights, &position)) {
        return FALSE;
    }
    uint64_t left = position < weights->size_bytes ? weights->size_bytes - position : 0;
    return ReadFile(handle, target, size_bytes < left ? size_bytes : (DWORD)left, got, NULL);
}

/* --- mapping ---------------------------------------------------------------------------------------------------- */

static void free_mapping(struct mapping *mapping) {
    if (mapping->fd >= 0) {
        lfbuild_platform_close(mapping->fd);
    }
    free(mapping->name);
    free(mapping);
}

HANDLE lfbuild_create_file_mapping(HANDLE handle, SECURITY_ATTRIBUTES *security, DWORD protection, DWORD size_high,
                                   DWORD size_low, const char *name) {
    struct open_weights *weights = weights_of(handle);
    if (!weights) {
        return CreateFileMappingA(handle, security, protection, size_high, size_low, name);
    }
    struct mapping *mapping = calloc(1, sizeof *mapping);
    size_t name_bytes = strlen(weights->name) + 1;
    char *copy = malloc(name_bytes);
    HANDLE made = mapping && copy ? CreateFileMappingA(handle, security, protection, 0, 0, name) : NULL;
    if (!made) {
        free(mapping);
        free(copy);
        return NULL;
    }
    *mapping = (struct mapping){
        .handle = made,
        .base = weights->base,
        .length = (size_t)weights->size_bytes,
        .fd = lfbuild_platform_duplicate(weights->fd),
        .name = memcpy(copy, weights->name, name_bytes),
    };
    spin_lock_take(&busy);
    mapping->next = newest;
    newest = mapping;
    spin_lock_leave(&busy);
    return made;
}

static char *map_in_place(struct mapping *mapping) {
    uint64_t offset = mapping->base - mapping->skew;
    char *start = MapViewOfFile(mapping->handle, FILE_MAP_READ, (DWORD)(offset >> 32), (DWORD)offset,
                                mapping->length + mapping->skew);
    return start ? start + mapping->skew : NULL;
}

static char *map_copy(struct mapping *mapping) {
    lfbuild_complain(mapping->name,
                     "warning: the weights begin at byte %llu, which is not a multiple of %d, so they are copied into "
                     "memory instead of mapped; pack the file again with lfbuild",
                     (unsigned long long)mapping->base, TENSOR_ALIGN_BYTES);
    DWORD before;
    char *copy = VirtualAlloc(NULL, mapping->length, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (copy && !lfbuild_platform_read_at(mapping->fd, copy, mapping->length, mapping->base)) {
        VirtualFree(copy, 0, MEM_RELEASE);
        SetLastError(ERROR_HANDLE_EOF);
        return NULL;
    }
    if (copy) {
        VirtualProtect(copy, mapping->length, PAGE_READONLY, &before);
    }
    return copy;
}

static struct mapping *mapping_of(HANDLE handle) {
    spin_lock_take(&busy);
    struct mapping *mapping = newest;
    while (mapping && mapping->handle != handle) {
        mapping = mapping->next;
    }
    spin_lock_leave(&busy);
    return mapping;
}

void *lfbuild_map_view(HANDLE handle, DWORD access, DWORD offset_high, DWORD offset_low, SIZE_T length) {
    struct mapping *mapping = handle ? mapping_of(handle) : NULL;
    if (!mapping) {
        return MapViewOfFile(handle, access, offset_high, offset_low, length);
    }
    if (access != FILE_MAP_READ || offset_high || offset_low || length || mapping->view) {
        SetLastError(ERROR_NOT_SUPPORTED); /* llama.cpp maps a model once, and all of it */
        return NULL;
    }
    size_t skew = (size_t)(mapping->base % lfbuild_platform_map_granularity_bytes());
    mapping->copied = skew % TENSOR_ALIGN_BYTES != 0;
    mapping->skew = mapping->copied ? 0 : skew;
    mapping->view = mapping->copied ? map_copy(mapping) : map_in_place(mapping);
    return mapping->view;
}

/* Takes off its list a mapping that has neither handle nor view. Called with the lock held. */
static struct mapping *take_if_gone(struct mapping **link) {
    struct mapping *mapping = *link;
    if (mapping->handle || mapping->view) {
        return NULL;
    }
    *link = mapping->next;
    return mapping;
}

BOOL lfbuild_unmap_view(const void *address) {
    struct mapping *gone = NULL;
    const char *start = address;
    bool copied = false;
    spin_lock_take(&busy);
    for (struct mapping **link = &newest; address && *link; link = &(*link)->next) {
        struct mapping *mapping = *link;
        if (mapping->view != address) {
            continue;
        }
        start -= mapping->skew;
        copied = mapping->copied;
        mapping->view = NULL;
        gone = take_if_gone(link);
        break;
    }
    spin_lock_leave(&busy);
    BOOL result = copied ? VirtualFree((void *)(uintptr_t)start, 0, MEM_RELEASE) : UnmapViewOfFile(start);
    if (gone) {
        free_mapping(gone);
    }
    return result;
}

BOOL lfbuild_close_handle(HANDLE handle) {
    struct mapping *gone = NULL;
    spin_lock_take(&busy);
    for (struct mapping **link = &newest; handle && *link; link = &(*link)->next) {
        if ((*link)->handle == handle) {
            (*link)->handle = NULL;
            gone = take_if_gone(link);
            break;
        }
    }
    spin_lock_leave(&busy);
    BOOL result = CloseHandle(handle);
    if (gone) {
        free_mapping(gone);
    }
    return result;
}
