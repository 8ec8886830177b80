/* Own file: see own_file.h. */
#include "own_file.h"

#include "../complaint.h"
#include "member.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_VARIABLE "LFBUILD_FILE"
#define BESIDE_NAME ".lfbuild/file"

enum {
    HEAD_BYTES = 1 << 20,
    TABLE_LIMIT_BYTES = 1 << 20, /* one block, whose digest is in the manifest */
    BESIDE_LIMIT_BYTES = 4096,
};

/* A program that is smaller than a head was placed by a shell script and carries no file: then LFBUILD_FILE says which.
 * One that is larger is the file, whatever an engine of another file left in the environment. */
static bool find_path(struct lfbuild_own *own) {
    bool found = lfbuild_system_program(own->path);
    int fd = found ? lfbuild_platform_open(own->path) : -1;
    int64_t size_bytes = -1;
    if (fd >= 0) {
        size_bytes = lfbuild_platform_size(fd);
        lfbuild_platform_close(fd);
    }
    const char *named = lfbuild_system_variable(FILE_VARIABLE);
    if (size_bytes >= HEAD_BYTES || !named) {
        return found;
    }
    own->named = true;
    return lfbuild_system_absolute(named, own->path);
}

static bool check_seal(const struct lfbuild_own *own) {
    switch (own->directory.seal) {
    case ZIP_SEAL_CLEAN:
        return true;
    case ZIP_SEAL_REDO:
        lfbuild_complain(own->path, "an update of this file was interrupted; run: lfbuild recover %s", own->path);
        return false;
    case ZIP_SEAL_UNKNOWN:
        lfbuild_complain(own->path, "its seal is damaged, or of a later lfbuild than this program; run: lfbuild "
                                    "verify %s", own->path);
        return false;
    default:
        lfbuild_complain(own->path, "it has no seal, so another program has changed it; get the file again");
        return false;
    }
}

static bool load_directory(struct lfbuild_own *own, int fd) {
    /* As in the engine's file layer: the lock comes before the directory is read. */
    if (lfbuild_platform_lock_shared(fd) == LFBUILD_LOCK_BUSY) {
        lfbuild_complain(own->path, "an update of this file is under way; try again when it has finished");
        return false;
    }
    switch (lfbuild_zip_load(fd, &own->directory)) {
    case ZIP_FOUND:
        return check_seal(own);
    case ZIP_ABSENT:
        lfbuild_complain(own->path, "there is no ZIP directory at the end of this file, so it is cut off or not a "
                                    "llamafile; get the file again");
        return false;
    case ZIP_DAMAGED:
        lfbuild_complain(own->path, "%s; get the file again", own->directory.problem);
        return false;
    default:
        lfbuild_complain(own->path, "its ZIP directory cannot be read (%s); get the file again", strerror(errno));
        return false;
    }
}

static bool load_table(struct lfbuild_own *own) {
    const char *problem = lfbuild_manifest_load(&own->directory, &own->manifest);
    if (problem) {
        lfbuild_complain(own->path, "its manifest is damaged (%s); get the file again", problem);
        return false;
    }
    char *text;
    size_t size_bytes;
    problem = lfbuild_member_text(&own->directory, LFBUILD_SLICES_NAME, TABLE_LIMIT_BYTES, &text, &size_bytes);
    if (!problem) {
        problem = lfbuild_manifest_has_slices(&own->manifest, text, size_bytes)
                      ? lfbuild_slice_table_read(text, size_bytes, &own->table)
                      : "it is not the one that the manifest lists";
    }
    if (problem) {
        lfbuild_complain(own->path, "its slice table is damaged (%s); get the file again", problem);
    }
    return !problem;
}

bool lfbuild_own_open(struct lfbuild_own *own) {
    if (!find_path(own)) {
        lfbuild_complain("lfbuild", "the program's own file cannot be found; set " FILE_VARIABLE " to its path");
        return false;
    }
    int fd = lfbuild_platform_open(own->path);
    if (fd < 0) {
        lfbuild_complain(own->path, "it cannot be opened (%s); %s", strerror(errno),
                         own->named ? "check " FILE_VARIABLE : "start it again");
        return false;
    }
    return load_directory(own, fd) && load_table(own);
}

static bool is_bare_name(const char *name) {
    return name[0] && !strpbrk(name, "/\\:") && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool lfbuild_own_engine_file(const struct lfbuild_own *own, char *path) {
    memcpy(path, own->path, sizeof own->path);
    struct zip_member member;
    if (lfbuild_zip_find(&own->directory, BESIDE_NAME, &member) == ZIP_MEMBER_ABSENT) {
        return true;
    }
    char *name;
    size_t size_bytes;
    const char *problem = lfbuild_member_text(&own->directory, BESIDE_NAME, BESIDE_LIMIT_BYTES, &name, &size_bytes);
    if (!problem) {
        name[strcspn(name, "\n")] = '\0';
        problem = is_bare_name(name) ? NULL : "it holds no name of a file";
    }
    lfbuild_system_follow_links(path); /* it stands beside the program, not beside a link to it */
    size_t folder_bytes = (size_t)(lfbuild_system_last_part(path) - path);
    if (!problem && folder_bytes + strlen(name) >= LFBUILD_PATH_CAPACITY_BYTES) {
        problem = "the path it makes is too long";
    }
    if (problem) {
        lfbuild_complain(own->path, "its member '" BESIDE_NAME "' is damaged (%s); get the file again", problem);
        return false;
    }
    memcpy(path + folder_bytes, name, strlen(name) + 1);
    if (!lfbuild_system_exists(path)) {
        lfbuild_complain(own->path, "its weights are in a file of their own, '%s', which must stand beside it; get "
                                    "that file too, into the same folder", name);
        return false;
    }
    return true;
}
