/* Platform, as POSIX has it: Linux, macOS, Cosmopolitan. See platform.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_CLOEXEC, flock and fdopen are not C11 */
#endif

#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __COSMOPOLITAN__
#include <cosmo.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

int lfbuild_platform_open(const char *path) {
    int fd;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

void lfbuild_platform_close(int fd) {
    int error = errno; /* callers report the error that made them close */
    close(fd);
    errno = error;
}

int64_t lfbuild_platform_size(int fd) {
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return -1;
    }
    return (int64_t)facts.st_size;
}

bool lfbuild_platform_read_at(int fd, void *bytes, size_t size_bytes, uint64_t offset) {
    char *target = bytes;
    while (size_bytes > 0) {
        /* Linux reads at most 2 GiB at a time; smaller steps are as fast. */
        size_t step = size_bytes < ((size_t)1 << 30) ? size_bytes : (size_t)1 << 30;
        ssize_t got = pread(fd, target, step, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        target += got;
        offset += (uint64_t)got;
        size_bytes -= (size_t)got;
    }
    return true;
}

enum lfbuild_lock lfbuild_platform_lock_shared(int fd) {
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        return LFBUILD_LOCK_HELD;
    }
    return errno == EWOULDBLOCK ? LFBUILD_LOCK_BUSY : LFBUILD_LOCK_UNSUPPORTED;
}

FILE *lfbuild_platform_fopen(const char *path, const char *mode) {
    return fopen(path, mode);
}

FILE *lfbuild_platform_stream(int fd) {
    return fdopen(fd, "rb");
}

int lfbuild_platform_seek(FILE *stream, int64_t offset, int whence) {
    return fseeko(stream, (off_t)offset, whence);
}

int64_t lfbuild_platform_tell(FILE *stream) {
    return (int64_t)ftello(stream);
}

int lfbuild_platform_duplicate(int fd) {
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

size_t lfbuild_platform_map_granularity_bytes(void) {
#ifdef _SC_GRANSIZE /* Cosmopolitan on Windows maps at multiples of 64 KiB, though its pages have 4 */
    long bytes = sysconf(_SC_GRANSIZE);
#else
    long bytes = sysconf(_SC_PAGESIZE);
#endif
    return bytes > 0 ? (size_t)bytes : 65536;
}

static bool copy_path(char *target, const char *path) {
    size_t length = strlen(path);
    if (length >= LFBUILD_PATH_CAPACITY_BYTES) {
        return false;
    }
    memcpy(target, path, length + 1);
    return true;
}

bool lfbuild_platform_executable(struct lfbuild_own_file *own) {
#if defined(__COSMOPOLITAN__)
    const char *path = GetProgramExecutableName();
    return copy_path(own->opens, path) && copy_path(own->shows, path);
#elif defined(__APPLE__)
    uint32_t capacity_bytes = LFBUILD_PATH_CAPACITY_BYTES;
    return _NSGetExecutablePath(own->opens, &capacity_bytes) == 0 && copy_path(own->shows, own->opens);
#else
    /* The link itself is opened, not what it says: a file replaced by an update keeps its bytes for who runs it. */
    ssize_t length = readlink("/proc/self/exe", own->shows, LFBUILD_PATH_CAPACITY_BYTES - 1);
    if (length <= 0) {
        return false;
    }
    own->shows[length] = '\0';
    return copy_path(own->opens, "/proc/self/exe");
#endif
}

bool lfbuild_platform_own_file(struct lfbuild_own_file *own) {
    const char *named = getenv("LFBUILD_FILE");
    if (named && named[0]) {
        return copy_path(own->opens, named) && copy_path(own->shows, named);
    }
    return lfbuild_platform_executable(own);
}

char *lfbuild_platform_variable(const char *name) {
    const char *value = getenv(name);
    return value ? strdup(value) : NULL;
}

bool lfbuild_platform_arguments(int *argc, char ***argv) {
    (void)argc, (void)argv;
    return true; /* the bytes that main was given are what everyone here calls a path by */
}

void lfbuild_platform_tell_user(const char *line) {
    fprintf(stderr, "%s\n", line);
    fflush(stderr);
}
