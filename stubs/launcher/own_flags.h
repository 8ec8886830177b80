/* Own flags: what the launcher itself does when its first argument begins with --lf-. */
#ifndef LFBUILD_LAUNCHER_OWN_FLAGS_H
#define LFBUILD_LAUNCHER_OWN_FLAGS_H

#include "own_file.h"

enum lfbuild_flag {
    LFBUILD_FLAG_NONE, /* start the engine with all arguments */
    LFBUILD_FLAG_NO_ARGS, /* start it without its default ones */
    LFBUILD_FLAG_INFO,
    LFBUILD_FLAG_VERIFY,
    LFBUILD_FLAG_EXTRACT,
    LFBUILD_FLAG_CACHE_DIR,
    LFBUILD_FLAG_REFUSED, /* the user has been told */
};

enum lfbuild_flag lfbuild_read_flag(const char *path, int argc, char *const *argv);

/* Each returns the exit code. */
int lfbuild_info(const struct lfbuild_own *own);
int lfbuild_verify(const struct lfbuild_own *own);
int lfbuild_extract(const struct lfbuild_own *own, const char *name, const char *target);
int lfbuild_cache_dir(const struct lfbuild_own *own);

#endif
