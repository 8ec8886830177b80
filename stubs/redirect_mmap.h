/* Forced into src/llama-mmap.cpp, which opens, reads and maps weights also by file descriptors; see redirect_stdio.h. */
#ifndef LFBUILD_REDIRECT_MMAP_H
#define LFBUILD_REDIRECT_MMAP_H

#ifndef _WIN32
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "redirect_stdio.h"

#ifndef _WIN32
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
