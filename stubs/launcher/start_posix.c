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

/* Only the user can change the folder; the name must still mean the file that was verified. */
static void become_by_name(const struct lfbuild_program *program, char **argv) {
    struct stat verified, named;
    if (fstat(program->fd, &verified) != 0 || lstat(program->path, &named) != 0) {
        return;
    }
    if (verified.st_dev != named.st_dev || verified.st_ino != named.st_ino) {
        errno = ESTALE; /* which a network's file system says of the same thing */
        return;
    }
    execve(program->path, argv, environ);
}

#ifdef __linux__

/* The file that was verified is started, by its descriptor: no name is looked up any more that could lead elsewhere. */
static void become(const struct lfbuild_program *program, char **argv) {
    syscall(SYS_execveat, program->fd, "", argv, environ, AT_EMPTY_PATH);
    /* Before Linux 3.19; under some emulators; and where another program runs this one's kind (binfmt_misc), as that
     * has to open it by a name. */
    if (errno != ENOSYS && errno != ENOENT) {
        return;
    }
    if (program->path[0]) {
        become_by_name(program, argv);
    } else { /* in memory, where it has no other name */
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", program->fd);
        execve(link, argv, environ);
    }
}

#else

/* No system call here starts a descriptor. */
static void become(const struct lfbuild_program *program, char **argv) {
    become_by_name(program, argv);
}

#endif

enum lfbuild_start lfbuild_start(const struct lfbuild_program *program, char **argv) {
    char *first = argv[0];
    argv[program->left_out] = first;
    become(program, argv + program->left_out);
    return errno == ESTALE                    ? LFBUILD_START_AGAIN
           : errno == EACCES || errno == EPERM ? LFBUILD_START_NOT_HERE
                                               : LFBUILD_START_FAILED;
}
