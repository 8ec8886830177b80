/* Folders, as POSIX has them: Linux and macOS. See folder.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getentropy, O_NOFOLLOW and the like are not C11 */
#endif

#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __APPLE__
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/random.h>
#else
#include <sys/statvfs.h>
#endif

#define NEW_FILE_START ".new-"

enum {
    DAY_SECONDS = 24 * 60 * 60,
};

static bool make_folders(char *path, unsigned levels) {
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        return true;
    }
    char *slash = strrchr(path, '/');
    if (errno != ENOENT || levels <= 1 || !slash || slash == path) {
        return false;
    }
    *slash = '\0';
    bool made = make_folders(path, levels - 1);
    *slash = '/';
    return made && (mkdir(path, 0700) == 0 || errno == EEXIST);
}

static bool forbids_programs(int fd) {
#ifdef __APPLE__
    struct statfs facts;
    return fstatfs(fd, &facts) == 0 && (facts.f_flags & MNT_NOEXEC);
#else
    struct statvfs facts;
    return fstatvfs(fd, &facts) == 0 && (facts.f_flag & ST_NOEXEC);
#endif
}

/* Facts are those of the opened thing, whatever has its name by now. */
static const char *check_folder(int fd) {
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return lfbuild_system_problem();
    }
    if (facts.st_uid != geteuid()) {
        return "it belongs to another user";
    }
    if (facts.st_mode & (S_IWGRP | S_IWOTH)) {
        return "others may write to it";
    }
    return forbids_programs(fd) ? "programs may not be started from it" : NULL;
}

const char *lfbuild_folder_open(const char *path, unsigned levels, struct lfbuild_folder *folder) {
    int length = snprintf(folder->path, sizeof folder->path, "%s", path);
    if (path[0] != '/' || length < 0 || (size_t)length >= sizeof folder->path) {
        return "it is no absolute path";
    }
    /* Whether it could be made shows when it is opened; what is wrong with making it is the better reason. */
    const char *unmade = make_folders(folder->path, levels) ? NULL : lfbuild_system_problem();
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->fd < 0) {
        return unmade ? unmade : errno == ELOOP || errno == ENOTDIR ? "it is no folder" : lfbuild_system_problem();
    }
    const char *problem = check_folder(folder->fd);
    if (problem) {
        lfbuild_folder_close(folder);
    }
    return problem;
}

bool lfbuild_folder_is_own(const char *path) {
    struct stat facts;
    return stat(path, &facts) != 0 || facts.st_uid == geteuid();
}

void lfbuild_folder_close(struct lfbuild_folder *folder) {
    lfbuild_platform_close(folder->fd);
}

const char *lfbuild_folder_open_file(const struct lfbuild_folder *folder, const char *name, int *fd) {
    /* A pipe that was planted must not make the launcher wait, nor a link lead it elsewhere. */
    *fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0) {
        return lfbuild_system_problem();
    }
    struct stat facts;
    const char *problem = fstat(*fd, &facts) != 0                   ? lfbuild_system_problem()
                          : !S_ISREG(facts.st_mode)                   ? "it is no regular file"
                          : facts.st_uid != geteuid()                 ? "it belongs to another user"
                          : facts.st_mode & (S_IWGRP | S_IWOTH)       ? "others may write to it"
                          : !(facts.st_mode & S_IXUSR)                ? "it may not be started"
                                                                      : NULL;
    if (problem) {
        lfbuild_platform_close(*fd);
    }
    return problem;
}

static bool make_name(char *name) {
    unsigned char random[8];
    if (getentropy(random, sizeof random) != 0) {
        return false;
    }
    size_t used = (size_t)snprintf(name, LFBUILD_NAME_CAPACITY_BYTES, "%s", NEW_FILE_START);
    for (size_t i = 0; i < sizeof random; i++) {
        used += (size_t)snprintf(name + used, LFBUILD_NAME_CAPACITY_BYTES - used, "%02x", random[i]);
    }
    return true;
}

int lfbuild_folder_create(const struct lfbuild_folder *folder, char *name, const char **problem) {
    int fd = -1;
    if (make_name(name)) {
        fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
    }
    if (fd >= 0 && fchmod(fd, 0700) != 0) { /* whatever the user's mask took away */
        lfbuild_platform_close(fd);
        unlinkat(folder->fd, name, 0);
        fd = -1;
    }
    *problem = fd < 0 ? lfbuild_system_problem() : NULL;
    return fd;
}

bool lfbuild_folder_name(const struct lfbuild_folder *folder, const char *old_name, const char *new_name) {
    if (linkat(folder->fd, old_name, folder->fd, new_name, 0) != 0) {
        return false;
    }
    unlinkat(folder->fd, old_name, 0);
    return true;
}

bool lfbuild_folder_rename(const struct lfbuild_folder *folder, const char *old_name, const char *new_name) {
    return renameat(folder->fd, old_name, folder->fd, new_name) == 0;
}

void lfbuild_folder_remove(const struct lfbuild_folder *folder, const char *name) {
    int error = errno;
    unlinkat(folder->fd, name, 0);
    errno = error;
}

void lfbuild_folder_sweep(const struct lfbuild_folder *folder) {
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        return;
    }
    time_t now = time(NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat facts;
        if (strncmp(entry->d_name, NEW_FILE_START, strlen(NEW_FILE_START)) == 0 &&
            fstatat(folder->fd, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
            now - facts.st_mtime > DAY_SECONDS) {
            unlinkat(folder->fd, entry->d_name, 0);
        }
    }
    closedir(entries);
}
