/* Launching: see launch.h. */
#include "launch.h"

#include "../complaint.h"
#include "choice.h"
#include "place.h"
#include "system.h"

#include <errno.h>

#define FILE_VARIABLE "LFBUILD_FILE"

enum {
    PLACINGS = 3, /* over a damaged file, another launcher may take the name once more */
};

static bool prepare_environment(const struct lfbuild_own *own) {
    char path[LFBUILD_PATH_CAPACITY_BYTES];
    if (!lfbuild_own_engine_file(own, path)) {
        return false;
    }
    if (!lfbuild_system_set_variable(FILE_VARIABLE, path)) {
        lfbuild_complain(own->path, "the engine cannot be told of this file (%s); start it with fewer variables",
                         lfbuild_system_problem());
        return false;
    }
    return true;
}

static void complain_of_damage(const struct lfbuild_own *own, const char *problem) {
    lfbuild_complain(own->path, "its engine for %s is damaged (%s); get the file again", lfbuild_own_target, problem);
}

/* Does not return at all when it works. */
static enum lfbuild_start start(const struct lfbuild_own *own, const struct lfbuild_program *program, char **argv,
                                const char **problem) {
    enum lfbuild_start result = lfbuild_start(program, argv);
    *problem = lfbuild_system_problem();
    if (result == LFBUILD_START_FAILED) {
        lfbuild_complain(own->path, "its engine for %s does not start on this machine (%s); run: lfbuild verify %s",
                         lfbuild_own_target, *problem, own->path);
    }
    lfbuild_platform_close(program->fd);
    return result;
}

/* True: nothing else needs to be tried, as the user has been told. */
static bool launch_from_folder(const struct lfbuild_own *own, const struct lfbuild_slice *slice,
                               const struct lfbuild_folder *folder, struct lfbuild_program *program, char **argv,
                               const char **problem) {
    enum lfbuild_start result = LFBUILD_START_AGAIN;
    for (int i = 0; i < PLACINGS && result == LFBUILD_START_AGAIN; i++) {
        switch (lfbuild_place_in_folder(&own->directory, slice, folder, program, problem)) {
        case LFBUILD_PLACED:
            result = start(own, program, argv, problem);
            break;
        case LFBUILD_PLACE_DAMAGED:
            complain_of_damage(own, *problem);
            return true;
        default:
            return false;
        }
    }
    return result == LFBUILD_START_FAILED;
}

static bool launch_from_memory(const struct lfbuild_own *own, const struct lfbuild_slice *slice,
                               struct lfbuild_program *program, char **argv, struct lfbuild_tried *tried) {
    const char *problem;
    switch (lfbuild_place_in_memory(&own->directory, slice, program, &problem)) {
    case LFBUILD_PLACED:
        if (start(own, program, argv, &problem) == LFBUILD_START_FAILED) {
            return true;
        }
        break;
    case LFBUILD_PLACE_DAMAGED:
        complain_of_damage(own, problem);
        return true;
    default:
        break;
    }
    lfbuild_tried_add(tried, "memory", problem);
    return false;
}

void lfbuild_launch(const struct lfbuild_own *own, char **argv, unsigned left_out) {
    const struct lfbuild_slice *slice = lfbuild_choose_slice(&own->table);
    if (!slice) {
        lfbuild_complain_of_no_slice(own->path, &own->table);
        return;
    }
    if (!prepare_environment(own)) {
        return;
    }
    struct lfbuild_program program = {.left_out = left_out};
    struct lfbuild_tried tried = {.used_bytes = 0};
    struct lfbuild_folder folder;
    for (size_t cursor = 0; lfbuild_private_folder_next(&cursor, &folder, &tried);) {
        const char *problem;
        bool ended = launch_from_folder(own, slice, &folder, &program, argv, &problem);
        lfbuild_folder_close(&folder);
        if (ended) {
            return;
        }
        lfbuild_tried_add(&tried, folder.path, problem);
    }
    if (!launch_from_memory(own, slice, &program, argv, &tried)) {
        lfbuild_complain(own->path,
                         "its engine cannot be placed in any folder: %s; set LFBUILD_CACHE_DIR to a folder of yours "
                         "from which programs may be started",
                         tried.text);
    }
}
