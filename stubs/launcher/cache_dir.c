/* --lf-cache-dir: the folder that the engine is placed in. */
#include "../complaint.h"
#include "own_flags.h"
#include "private_folder.h"

int lfbuild_cache_dir(const struct lfbuild_own *own) {
    struct lfbuild_folder folder;
    struct lfbuild_tried tried = {.used_bytes = 0};
    size_t cursor = 0;
    if (!lfbuild_private_folder_next(&cursor, &folder, &tried)) {
        lfbuild_complain(own->path, "there is no folder to place its engine in: %s", tried.text);
        return 1;
    }
    lfbuild_folder_close(&folder);
    printf("%s\n", folder.path);
    return 0;
}
