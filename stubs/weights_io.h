/* Weights I/O: what llama.cpp's calls become, by the redirect_*.h headers that its sources are compiled with.
 *
 * Each behaves as its namesake, on a file that begins where the member begins and ends where it ends. A handle that this
 * layer did not open inside a container goes to the system as it is.
 */
#ifndef LFBUILD_WEIGHTS_IO_H
#define LFBUILD_WEIGHTS_IO_H

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* weights_stream.c */
LFBUILD_API FILE *lfbuild_fopen(const char *path, const char *mode);
LFBUILD_API int lfbuild_fclose(FILE *stream);
LFBUILD_API size_t lfbuild_fread(void *target, size_t item_bytes, size_t count, FILE *stream);
LFBUILD_API int lfbuild_fseek(FILE *stream, long offset, int whence);
LFBUILD_API long lfbuild_ftell(FILE *stream);
LFBUILD_API int lfbuild_fseeko(FILE *stream, int64_t offset, int whence);
LFBUILD_API int64_t lfbuild_ftello(FILE *stream);
LFBUILD_API int lfbuild_feof(FILE *stream);

#ifndef _WIN32
#include <sys/stat.h>
#include <sys/types.h>

/* weights_descriptor.c */
LFBUILD_API int lfbuild_open(const char *path, int flags, ...);
LFBUILD_API int lfbuild_close(int fd);
LFBUILD_API ssize_t lfbuild_read(int fd, void *target, size_t size_bytes);
LFBUILD_API off_t lfbuild_lseek(int fd, off_t offset, int whence);
LFBUILD_API int lfbuild_fstat(int fd, struct stat *facts);
LFBUILD_API int lfbuild_posix_fadvise(int fd, off_t offset, off_t length, int advice);

/* weights_map.c */
LFBUILD_API void *lfbuild_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
LFBUILD_API int lfbuild_munmap(void *address, size_t length);
LFBUILD_API int lfbuild_posix_madvise(void *address, size_t length, int advice);
#endif

#ifdef __cplusplus
}
#endif

#endif
