/* System, as POSIX has it: Linux and macOS. See system.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create and the like are not C11 */
#endif

#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <sys/auxv.h>
#include <sys/mman.h>
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3; one that does not know it refuses it */
#endif
#endif

bool lfbuild_system_program(char *path) {
#ifdef __APPLE__
    char named[LFBUILD_PATH_CAPACITY_BYTES];
    uint32_t capacity_bytes = sizeof named;
    return _NSGetExecutablePath(named, &capacity_bytes) == 0 && lfbuild_system_absolute(named, path);
#else
    ssize_t length = readlink("/proc/self/exe", path, LFBUILD_PATH_CAPACITY_BYTES - 1);
    if (length > 0) {
        path[length] = '\0';
        return true;
    }
    /* A chroot without /proc: the path that the program was started by. */
    const char *named = (const char *)getauxval(AT_EXECFN);
    return named && lfbuild_system_absolute(named, path);
#endif
}

const char *lfbuild_system_variable(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

bool lfbuild_system_set_variable(const char *name, const char *value) {
    return setenv(name, value, 1) == 0;
}

/* Links on the way stay as they are: the engine shows the path that the user knows. */
bool lfbuild_system_absolute(const char *path, char *absolute) {
    size_t used = 0;
    if (path[0] != '/') {
        if (!getcwd(absolute, LFBUILD_PATH_CAPACITY_BYTES)) {
            return false;
        }
        used = strlen(absolute);
        path += path[0] == '.' && path[1] == '/' ? 2 : 0;
    }
    int length = snprintf(absolute + used, LFBUILD_PATH_CAPACITY_BYTES - used, used > 1 ? "/%s" : "%s", path);
    return length > 0 && (size_t)length < LFBUILD_PATH_CAPACITY_BYTES - used;
}

bool lfbuild_system_exists(const char *path) {
    return access(path, F_OK) == 0;
}

void lfbuild_system_follow_links(char *path) {
    char *real = realpath(path, NULL);
    if (real && strlen(real) < LFBUILD_PATH_CAPACITY_BYTES) {
        strcpy(path, real);
    }
    free(real);
}

const char *lfbuild_system_last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

unsigned lfbuild_system_user(void) {
    return (unsigned)geteuid();
}

const char *lfbuild_system_problem(void) {
    return strerror(errno);
}

void lfbuild_system_prepare_stdout(void) {
}

int lfbuild_system_create(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

/* A file system without hard links gets an empty file of that name first: whoever makes it has the name. */
bool lfbuild_system_rename(const char *old_path, const char *new_path) {
    if (link(old_path, new_path) == 0) {
        lfbuild_system_remove(old_path);
        return true;
    }
    int fd = errno == EEXIST ? -1 : lfbuild_system_create(new_path);
    if (fd < 0) {
        return false;
    }
    close(fd);
    if (rename(old_path, new_path) == 0) {
        return true;
    }
    lfbuild_system_remove(new_path);
    return false;
}

void lfbuild_system_remove(const char *path) {
    int error = errno;
    unlink(path);
    errno = error;
}

static bool write_all(int fd, const char *source, size_t size_bytes) {
    while (size_bytes > 0) {
        ssize_t written = write(fd, source, size_bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        source += written;
        size_bytes -= (size_t)written;
    }
    return true;
}

bool lfbuild_system_write(int fd, const void *bytes, size_t size_bytes) {
    struct sigaction before;
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, &before);
    bool written = write_all(fd, bytes, size_bytes);
    int error = errno;
    sigaction(SIGXFSZ, &before, NULL); /* as the engine is to have it */
    errno = error;
    return written;
}

bool lfbuild_system_finish(int fd) {
    return close(fd) == 0;
}

#ifdef __APPLE__

int lfbuild_system_memory_file(void) {
    errno = ENOTSUP;
    return -1;
}

bool lfbuild_system_seal(int fd) {
    (void)fd;
    return false;
}

#else

int lfbuild_system_memory_file(void) {
    int fd = memfd_create("lfbuild", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    return fd < 0 && errno == EINVAL ? memfd_create("lfbuild", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

bool lfbuild_system_seal(int fd) {
    return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

#endif
