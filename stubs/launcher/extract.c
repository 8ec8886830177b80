/* --lf-extract: one member as a file of its own in the current folder, or on stdout. */
#include "../complaint.h"
#include "member.h"
#include "own_flags.h"
#include "system.h"

#include <string.h>

#define STDOUT_NAME "-"
#define PART_END ".part"

enum {
    STDOUT = 1,
};

struct writing {
    int fd;
    const char *unwritten;
};

static bool take(void *context, const unsigned char *bytes, size_t size_bytes) {
    struct writing *writing = context;
    if (!lfbuild_system_write(writing->fd, bytes, size_bytes)) {
        writing->unwritten = lfbuild_system_problem();
    }
    return !writing->unwritten;
}

/* NULL, or why not all of it was written. */
static const char *write_member(const struct lfbuild_own *own, const struct zip_member *member, int fd) {
    struct writing writing = {.fd = fd};
    const char *problem = lfbuild_member_copy(&own->directory, member, (struct lfbuild_sink){take, &writing});
    return writing.unwritten ? writing.unwritten : problem;
}

static bool find(const struct lfbuild_own *own, const char *name, struct zip_member *member) {
    switch (lfbuild_zip_find(&own->directory, name, member)) {
    case ZIP_MEMBER_FOUND:
        return true;
    case ZIP_MEMBER_REPEATED:
        lfbuild_complain(own->path, "the member '%s' is there twice, so it is unclear which is meant; get the file "
                                    "again", name);
        return false;
    default:
        lfbuild_complain(own->path, "there is no member '%s' in this file", name);
        return false;
    }
}

static int refuse(const struct lfbuild_own *own, const char *name, const char *problem) {
    lfbuild_complain(own->path, "the member '%s' cannot be extracted (%s)", name, problem);
    return 1;
}

static int extract_to_stdout(const struct lfbuild_own *own, const char *name, const struct zip_member *member) {
    const char *problem = write_member(own, member, STDOUT);
    return problem ? refuse(own, name, problem) : 0;
}

/* Whole or not at all, and never over a file that is there. */
static int extract_to_file(const struct lfbuild_own *own, const char *name, const struct zip_member *member) {
    const char *target = lfbuild_system_last_part(name);
    char part[LFBUILD_PATH_CAPACITY_BYTES];
    int length = snprintf(part, sizeof part, "%s" PART_END, target);
    if (!target[0] || strpbrk(target, "\\:") || strcmp(target, "..") == 0 || strcmp(target, ".") == 0 ||
        length < 0 || (size_t)length >= sizeof part) {
        return refuse(own, name, "its name is no name of a file");
    }
    if (lfbuild_system_exists(target)) {
        return refuse(own, name, "a file of that name is there already");
    }
    if (lfbuild_system_exists(part)) {
        lfbuild_complain(own->path, "the member '%s' cannot be extracted ('%s' is there, of an extraction that was "
                                    "interrupted or still runs); remove it and try again", name, part);
        return 1;
    }
    int fd = lfbuild_system_create(part);
    if (fd < 0) {
        return refuse(own, name, lfbuild_system_problem());
    }
    const char *problem = write_member(own, member, fd);
    bool finished = lfbuild_system_finish(fd);
    if (!problem && (!finished || !lfbuild_system_rename(part, target))) {
        problem = lfbuild_system_problem();
    }
    if (problem) {
        lfbuild_system_remove(part);
        return refuse(own, name, problem);
    }
    return 0;
}

int lfbuild_extract(const struct lfbuild_own *own, const char *name, const char *target) {
    struct zip_member member;
    if (!find(own, name, &member)) {
        return 1;
    }
    return target && strcmp(target, STDOUT_NAME) == 0 ? extract_to_stdout(own, name, &member)
                                                      : extract_to_file(own, name, &member);
}
