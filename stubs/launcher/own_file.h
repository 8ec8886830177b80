/* Own file: which file the launcher belongs to, opened, and everything in it that is read before an engine starts. */
#ifndef LFBUILD_LAUNCHER_OWN_FILE_H
#define LFBUILD_LAUNCHER_OWN_FILE_H

#include "../zip_directory.h"
#include "manifest.h"
#include "slice_table.h"

struct lfbuild_own {
    char path[LFBUILD_PATH_CAPACITY_BYTES]; /* absolute */
    bool named;                             /* by LFBUILD_FILE: the running program was placed by a shell script */
    struct zip_directory directory;
    struct lfbuild_manifest manifest;
    struct lfbuild_slice_table table;
};

/* Opens, locks and reads; every byte that is used is one that the seal vouches for. False: the user has been told. */
bool lfbuild_own_open(struct lfbuild_own *own);

/* The file that the engine is to read as /zip/: the own one, or the one that must stand beside it. */
bool lfbuild_own_engine_file(const struct lfbuild_own *own, char *path);

#endif
