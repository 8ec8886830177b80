/* Private folders: where an engine may be placed, in the order in which they are tried. */
#ifndef LFBUILD_LAUNCHER_PRIVATE_FOLDER_H
#define LFBUILD_LAUNCHER_PRIVATE_FOLDER_H

#include "folder.h"

/* Why each of the folders so far was not used, for the sentence at the end. */
struct lfbuild_tried {
    char text[2048];
    size_t used_bytes;
};
void lfbuild_tried_add(struct lfbuild_tried *tried, const char *path, const char *problem);

/* Opens the next folder that is the user's alone; start with *cursor = 0. False after the last one. */
bool lfbuild_private_folder_next(size_t *cursor, struct lfbuild_folder *folder, struct lfbuild_tried *tried);

#endif
