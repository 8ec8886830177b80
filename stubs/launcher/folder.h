/* Folders that nobody else can write to and that programs may be started from. folder_posix.c and folder_windows.c
 * carry it out; private_folder.h says which folders are asked. */
#ifndef LFBUILD_LAUNCHER_FOLDER_H
#define LFBUILD_LAUNCHER_FOLDER_H

#include "system.h"

enum {
    LFBUILD_NAME_CAPACITY_BYTES = 64,
};

struct lfbuild_folder {
    char path[LFBUILD_PATH_CAPACITY_BYTES];
    int fd; /* on Windows nothing */
};

/* Makes up to `levels` missing folders at the end of the path, and opens the last. NULL, or why it cannot be used. */
const char *lfbuild_folder_open(const char *path, unsigned levels, struct lfbuild_folder *folder);
/* Whether nothing of another user's stands there; always on Windows, which has it in its permissions. */
bool lfbuild_folder_is_own(const char *path);
void lfbuild_folder_close(struct lfbuild_folder *folder);

/* Opens a regular program file that nobody else can have written; NULL, or why there is none. While it is open on
 * Windows, nobody can write to it or put another in its place. */
const char *lfbuild_folder_open_file(const struct lfbuild_folder *folder, const char *name, int *fd);

/* A new file under a name that nobody else has; -1 with *problem. */
int lfbuild_folder_create(const struct lfbuild_folder *folder, char *name, const char **problem);
/* Gives a file the name that it is looked for by: never over another one, or over whatever has it. */
bool lfbuild_folder_name(const struct lfbuild_folder *folder, const char *old_name, const char *new_name);
bool lfbuild_folder_rename(const struct lfbuild_folder *folder, const char *old_name, const char *new_name);
void lfbuild_folder_remove(const struct lfbuild_folder *folder, const char *name);
/* Removes what launchers that were killed left behind, once it is a day old. */
void lfbuild_folder_sweep(const struct lfbuild_folder *folder);

#endif
