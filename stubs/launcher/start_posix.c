/* Starting, as POSIX has it: the launcher becomes the engine, so that its number, its signals, its standard streams and
 * its exit code are the engine's. See system.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <fcntl.h>
#include <sys/syscall.h>
#endif

extern char **environ;

#ifdef __linux__

/* The file that was verified is started, by its descriptor: no name is looked up any more that could lead elsewhere. */
static void become(const struct lfbuild_program *program, char **argv) {
    syscall(SYS_execveat, program->fd, "", argv, environ, AT_EMPTY_PATH);
    if (errno == ENOSYS) { /* before Linux 3.19, and under some emulators */
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", program->fd);
        execve(link, argv, environ);
    }
}

#else

/* No system call here starts a descriptor. Only the user can change the folder; the name must still mean this file. */
static void become(const struct lfbuild_program *program, char **argv) {
    struct stat verified, named;
    if (fstat(program->fd, &verified) != 0 || lstat(program->path, &named) != 0) {
        return;
    }
    if (verified.st_dev != named.st_dev || verified.st_ino != named.st_ino) {
        errno = EAGAIN;
        return;
    }
    execve(program->path, argv, environ);
}

#endif

enum lfbuild_start lfbuild_start(const struct lfbuild_program *program, char **argv) {
    char *first = argv[0];
    argv[program->left_out] = first;
    become(program, argv + program->left_out);
    return errno == EACCES || errno == EPERM ? LFBUILD_START_NOT_HERE : LFBUILD_START_FAILED;
}
