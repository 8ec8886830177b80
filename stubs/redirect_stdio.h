/* Forced into llama.cpp sources that open weights with stdio (lfbuild.cmake says which): their calls come to the layer.
 *
 * The headers that declare the names are read first, so that the macros below meet calls only, never declarations.
 */
#ifndef LFBUILD_REDIRECT_STDIO_H
#define LFBUILD_REDIRECT_STDIO_H

#include "weights_io.h"

#include <stdio.h>
#include <sys/types.h>
#ifndef _WIN32
#include <unistd.h>
#endif

#ifdef __cplusplus
#include <cstdio>
#include <fstream>
#include <iostream>

/* llama.cpp writes both fread and std::fread. Functions, not using-declarations: those would leave every name in the debug
 * information of the object, used or not, where check_objects.cmake looks for the ones that are used. */
namespace std {
inline FILE * lfbuild_fopen(const char * path, const char * mode) {
    return ::lfbuild_fopen(path, mode);
}
inline int lfbuild_fclose(FILE * stream) {
    return ::lfbuild_fclose(stream);
}
inline size_t lfbuild_fread(void * target, size_t item_bytes, size_t count, FILE * stream) {
    return ::lfbuild_fread(target, item_bytes, count, stream);
}
inline int lfbuild_fseek(FILE * stream, long offset, int whence) {
    return ::lfbuild_fseek(stream, offset, whence);
}
inline long lfbuild_ftell(FILE * stream) {
    return ::lfbuild_ftell(stream);
}
inline int lfbuild_feof(FILE * stream) {
    return ::lfbuild_feof(stream);
}
} // namespace std
#endif

#include "ggml.h"

#define ggml_fopen(path, mode) lfbuild_fopen(path, mode)
#define fopen(path, mode) lfbuild_fopen(path, mode)
#define fclose(stream) lfbuild_fclose(stream)
#define fread(target, item_bytes, count, stream) lfbuild_fread(target, item_bytes, count, stream)
#define fseek(stream, offset, whence) lfbuild_fseek(stream, offset, whence)
#define ftell(stream) lfbuild_ftell(stream)
#undef feof
#define feof(stream) lfbuild_feof(stream)
#ifdef _WIN32
#define _fseeki64(stream, offset, whence) lfbuild_fseeko(stream, offset, whence)
#define _ftelli64(stream) lfbuild_ftello(stream)
#else
#define fseeko(stream, offset, whence) lfbuild_fseeko(stream, (int64_t)(offset), whence)
#define ftello(stream) lfbuild_ftello(stream)
#endif

/* Ways to reach a file that the layer does not know: an engine version that begins to use one must not compile. */
#define fdopen(...) lfbuild_layer_does_not_cover_fdopen(__VA_ARGS__)
#define fgetpos(...) lfbuild_layer_does_not_cover_fgetpos(__VA_ARGS__)
#define fgets(...) lfbuild_layer_does_not_cover_fgets(__VA_ARGS__)
#define freopen(...) lfbuild_layer_does_not_cover_freopen(__VA_ARGS__)
#define fscanf(...) lfbuild_layer_does_not_cover_fscanf(__VA_ARGS__)
#define fsetpos(...) lfbuild_layer_does_not_cover_fsetpos(__VA_ARGS__)
#define pread(...) lfbuild_layer_does_not_cover_pread(__VA_ARGS__)
#define preadv(...) lfbuild_layer_does_not_cover_preadv(__VA_ARGS__)
#define readv(...) lfbuild_layer_does_not_cover_readv(__VA_ARGS__)
#define rewind(...) lfbuild_layer_does_not_cover_rewind(__VA_ARGS__)

#endif
