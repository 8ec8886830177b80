/* System: what a launcher needs of an operating system beyond platform.h. Paths and variables are UTF-8 on Windows, and
 * whatever bytes the user has elsewhere. system_posix.c and system_windows.c carry it out; start_*.c start programs,
 * folder.h has folders. */
#ifndef LFBUILD_LAUNCHER_SYSTEM_H
#define LFBUILD_LAUNCHER_SYSTEM_H

#include "../platform.h"

/* The file of the running program, absolute. */
bool lfbuild_system_program(char *path);

/* NULL when it is not set, or empty. */
const char *lfbuild_system_variable(const char *name);
bool lfbuild_system_set_variable(const char *name, const char *value);

bool lfbuild_system_absolute(const char *path, char *absolute);
bool lfbuild_system_exists(const char *path);

/* The path of the file that it leads to; as it is where that cannot be told. */
void lfbuild_system_follow_links(char *path);

/* Where a path's last part begins. */
const char *lfbuild_system_last_part(const char *path);

/* The user's number, for folders that stand beside those of other users; 0 where there are none such. */
unsigned lfbuild_system_user(void);

/* A new file in an ordinary folder, which must not be there yet; -1 when it cannot be made. */
int lfbuild_system_create(const char *path);
/* Never over a file that is there. */
bool lfbuild_system_rename(const char *old_path, const char *new_path);
void lfbuild_system_remove(const char *path);

/* False also where a limit of the size of files would end the process by a signal. */
bool lfbuild_system_write(int fd, const void *bytes, size_t size_bytes);
/* False when what was written cannot be kept: some systems notice a full disk only here. */
bool lfbuild_system_finish(int fd);

/* A file in memory that can be started; -1 where there is none. `lfbuild_system_seal` makes it read-only for good. */
int lfbuild_system_memory_file(void);
bool lfbuild_system_seal(int fd);

/* Why the last call failed, in words. */
const char *lfbuild_system_problem(void);
#if defined(_WIN32)
#define LFBUILD_SEPARATOR "\\"
#else
#define LFBUILD_SEPARATOR "/"
#endif

/* Before the first byte goes to stdout, which is then neither translated nor recoded. */
void lfbuild_system_prepare_stdout(void);

/* What is started: a verified file, open for reading, and where it is (empty: in memory). */
struct lfbuild_program {
    int fd;
    char path[LFBUILD_PATH_CAPACITY_BYTES];
    unsigned left_out; /* arguments of the launcher's own, behind argv[0] */
};

enum lfbuild_start {
    LFBUILD_START_NOT_HERE, /* the system does not start programs from this folder: another may do */
    LFBUILD_START_FAILED,
    LFBUILD_START_AGAIN, /* its name has gone to another file meanwhile: it has to be placed once more */
};
/* Becomes the program, or (Windows) ends with its exit code. Returns only when it could not be started. */
enum lfbuild_start lfbuild_start(const struct lfbuild_program *program, char **argv);

#endif
