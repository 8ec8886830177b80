/* Forced into src/llama-mmap.cpp, which also opens, reads and maps weights by the system's own calls; see redirect_stdio.h.
 */
#ifndef LFBUILD_REDIRECT_MMAP_H
#define LFBUILD_REDIRECT_MMAP_H

#ifdef _WIN32
#include "weights_windows.h"

#include <io.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "redirect_stdio.h"

#ifdef _WIN32
#define SetFilePointerEx(handle, offset, position, whence) lfbuild_set_file_pointer(handle, offset, position, whence)
#define ReadFile(handle, target, size_bytes, got, where) lfbuild_read_file(handle, target, size_bytes, got, where)
#define CreateFileMappingA(...) lfbuild_create_file_mapping(__VA_ARGS__)
#define MapViewOfFile(...) lfbuild_map_view(__VA_ARGS__)
#define UnmapViewOfFile(address) lfbuild_unmap_view(address)
#define CloseHandle(handle) lfbuild_close_handle(handle)

#define CreateFileA(...) lfbuild_layer_does_not_cover_CreateFileA(__VA_ARGS__)
#define CreateFileW(...) lfbuild_layer_does_not_cover_CreateFileW(__VA_ARGS__)
#define CreateFileMappingW(...) lfbuild_layer_does_not_cover_CreateFileMappingW(__VA_ARGS__)
#define GetFileSizeEx(...) lfbuild_layer_does_not_cover_GetFileSizeEx(__VA_ARGS__)
#define MapViewOfFileEx(...) lfbuild_layer_does_not_cover_MapViewOfFileEx(__VA_ARGS__)
#define ReadFileEx(...) lfbuild_layer_does_not_cover_ReadFileEx(__VA_ARGS__)
#define SetFilePointer(...) lfbuild_layer_does_not_cover_SetFilePointer(__VA_ARGS__)
#else
#define open(...) lfbuild_open(__VA_ARGS__)
#define close(fd) lfbuild_close(fd)
#define read(fd, target, size_bytes) lfbuild_read(fd, target, size_bytes)
#define lseek(fd, offset, whence) lfbuild_lseek(fd, (off_t)(offset), whence)
#define fstat(fd, facts) lfbuild_fstat(fd, facts)
#define posix_fadvise(fd, offset, length, advice) lfbuild_posix_fadvise(fd, offset, length, advice)
#define mmap(address, length, protection, flags, fd, offset) lfbuild_mmap(address, length, protection, flags, fd, offset)
#define munmap(address, length) lfbuild_munmap(address, length)
#define posix_madvise(address, length, advice) lfbuild_posix_madvise(address, length, advice)

#define mmap64(...) lfbuild_layer_does_not_cover_mmap64(__VA_ARGS__)
#define mremap(...) lfbuild_layer_does_not_cover_mremap(__VA_ARGS__)
#define open64(...) lfbuild_layer_does_not_cover_open64(__VA_ARGS__)
#define openat(...) lfbuild_layer_does_not_cover_openat(__VA_ARGS__)
#endif

#endif
