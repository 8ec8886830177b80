/* Private folders: see private_folder.h; docs/formats/launch.md has the order and its reasons. */
#include "private_folder.h"

enum {
    ALL_LEVELS = 64,
};

struct candidate {
    const char *variable; /* NULL: `below` is the whole path */
    const char *below;
    bool per_user; /* several users share the place: the user's number ends the name */
    unsigned levels; /* how many folders at the end may be made */
    bool own_base;   /* not below a folder of another user's: root with a user's HOME would leave folders there */
};

static const struct candidate candidates[] = {
    {"LFBUILD_CACHE_DIR", "", false, ALL_LEVELS, false},
#if defined(_WIN32)
    {"LOCALAPPDATA", "\\lfbuild", false, 1, false},
    {"TEMP", "\\lfbuild", false, 1, false},
#else
    {"XDG_CACHE_HOME", "/lfbuild", false, ALL_LEVELS, false},
#if defined(__APPLE__)
    {"HOME", "/Library/Caches/lfbuild", false, 3, true},
#else
    {"HOME", "/.cache/lfbuild", false, 2, true},
#endif
    {"TMPDIR", "/lfbuild", true, 1, false},
    {"XDG_RUNTIME_DIR", "/lfbuild", false, 1, false},
    {NULL, "/dev/shm/lfbuild", true, 1, false},
    {NULL, "/tmp/lfbuild", true, 1, false},
#endif
};

static bool make_path(const struct candidate *candidate, char *path) {
    const char *base = candidate->variable ? lfbuild_system_variable(candidate->variable) : "";
    if (!base) {
        return false;
    }
    char user[16] = "";
    if (candidate->per_user) {
        snprintf(user, sizeof user, "-%u", lfbuild_system_user());
    }
    int length = snprintf(path, LFBUILD_PATH_CAPACITY_BYTES, "%s%s%s", base, candidate->below, user);
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES;
}

void lfbuild_tried_add(struct lfbuild_tried *tried, const char *path, const char *problem) {
    size_t capacity_bytes = sizeof tried->text - tried->used_bytes;
    int length = snprintf(tried->text + tried->used_bytes, capacity_bytes, "%s%s (%s)", tried->used_bytes ? ", " : "",
                          path, problem);
    if (length > 0 && (size_t)length < capacity_bytes) {
        tried->used_bytes += (size_t)length;
    } else {
        tried->text[tried->used_bytes] = '\0';
    }
}

bool lfbuild_private_folder_next(size_t *cursor, struct lfbuild_folder *folder, struct lfbuild_tried *tried) {
    while (*cursor < sizeof candidates / sizeof candidates[0]) {
        const struct candidate *candidate = &candidates[(*cursor)++];
        char path[LFBUILD_PATH_CAPACITY_BYTES];
        if (!make_path(candidate, path)) {
            continue;
        }
        const char *problem = NULL;
        if (candidate->own_base && !lfbuild_folder_is_own(lfbuild_system_variable(candidate->variable))) {
            problem = "it is in another user's folder";
        } else {
            problem = lfbuild_folder_open(path, candidate->levels, folder);
        }
        if (!problem) {
            return true;
        }
        lfbuild_tried_add(tried, path, problem);
    }
    return false;
}
