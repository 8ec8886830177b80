/* Placing: a slice's decoded bytes as a file that may be started, verified through the descriptor that is started. */
#ifndef LFBUILD_LAUNCHER_PLACE_H
#define LFBUILD_LAUNCHER_PLACE_H

#include "private_folder.h"
#include "slice_table.h"
#include "../zip_directory.h"

enum lfbuild_place {
    LFBUILD_PLACED,
    LFBUILD_PLACE_REFUSED, /* not in this folder; *problem says why */
    LFBUILD_PLACE_DAMAGED, /* the slice in the file is not what its table says; *problem says how */
};

/* Uses the file that is there if every byte of it is right, else puts a new one in its place. */
enum lfbuild_place lfbuild_place_in_folder(const struct zip_directory *directory, const struct lfbuild_slice *slice,
                                           const struct lfbuild_folder *folder, struct lfbuild_program *program,
                                           const char **problem);

enum lfbuild_place lfbuild_place_in_memory(const struct zip_directory *directory, const struct lfbuild_slice *slice,
                                           struct lfbuild_program *program, const char **problem);

/* NULL, or what is wrong with a slice in the file; nothing is placed. */
const char *lfbuild_check_slice(const struct zip_directory *directory, const struct lfbuild_slice *slice);

#endif
