/* Platform: the one seam between this layer and an operating system.
 *
 * Everything here is about files and memory in general; nothing here knows ZIP, GGUF or llama.cpp.
 * platform_posix.c carries it out for Linux, macOS and Cosmopolitan, platform_windows.c for Windows. All text is UTF-8.
 */
#ifndef LFBUILD_PLATFORM_H
#define LFBUILD_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In a shared build the layer lives in ggml-base and is called from llama, mtmd and the program. */
#if defined(_WIN32) && defined(LFBUILD_SHARED)
#ifdef LFBUILD_BUILDING
#define LFBUILD_API __declspec(dllexport)
#else
#define LFBUILD_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define LFBUILD_API __attribute__((visibility("default")))
#else
#define LFBUILD_API
#endif

enum {
    LFBUILD_PATH_CAPACITY_BYTES = 4096,
};

enum lfbuild_lock {
    LFBUILD_LOCK_HELD,
    LFBUILD_LOCK_BUSY,        /* another program holds it exclusively: an update is under way */
    LFBUILD_LOCK_UNSUPPORTED, /* read-only media, some network file systems: carried on without */
};

/* Opens for reading; -1 with errno. The descriptor is not inherited by child processes. */
int lfbuild_platform_open(const char *path);
void lfbuild_platform_close(int fd);

/* Size of a regular file; -1 for anything else (a directory, a pipe, a device). */
int64_t lfbuild_platform_size(int fd);

/* Reads exactly size_bytes at offset; false at the end of the file or on an error. */
bool lfbuild_platform_read_at(int fd, void *bytes, size_t size_bytes, uint64_t offset);

/* Never waits. The lock goes with the descriptor and its duplicates. */
enum lfbuild_lock lfbuild_platform_lock_shared(int fd);

FILE *lfbuild_platform_fopen(const char *path, const char *mode);
FILE *lfbuild_platform_stream(int fd);
int lfbuild_platform_seek(FILE *stream, int64_t offset, int whence);
int64_t lfbuild_platform_tell(FILE *stream);
int lfbuild_platform_duplicate(int fd);

/* What the offset of a mapping must be a multiple of. */
size_t lfbuild_platform_map_granularity_bytes(void);

/* `opens` gives the same bytes even after that file was replaced, `shows` is for people. */
struct lfbuild_own_file {
    char opens[LFBUILD_PATH_CAPACITY_BYTES];
    char shows[LFBUILD_PATH_CAPACITY_BYTES];
};
/* The running program. */
LFBUILD_API bool lfbuild_platform_executable(struct lfbuild_own_file *own);
/* What a launcher hands over, else the running program. */
LFBUILD_API bool lfbuild_platform_own_file(struct lfbuild_own_file *own);

/* The environment variable's value, to be freed; NULL when it is not set. */
LFBUILD_API char *lfbuild_platform_variable(const char *name);

/* Puts UTF-8 in place of what main was given, where that is something else; the words are never freed. */
LFBUILD_API bool lfbuild_platform_arguments(int *argc, char ***argv);

/* One line on stderr. */
void lfbuild_platform_tell_user(const char *line);

#ifdef __cplusplus
}
#endif

#endif
