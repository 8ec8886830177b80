/* Forced into common/arg.cpp on Windows, where upstream reads the process's command line again, since its main gets the
 * machine's code page: when that has as many words as argv, it counts, and the file's default arguments would be lost.
 * Ours is UTF-8 already (main.cpp), so that line is made to have no words. */
#ifndef LFBUILD_REDIRECT_ARGV_H
#define LFBUILD_REDIRECT_ARGV_H

#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <shellapi.h>

static inline LPWSTR *lfbuild_no_words(LPCWSTR line, int *count) {
    (void)line;
    *count = 0;
    return NULL;
}

#define CommandLineToArgvW(line, count) lfbuild_no_words(line, count)

#endif
