/* --lf-extract: one member as a file of its own in the current folder, or on stdout. */
#include "../complaint.h"
#include "member.h"
#include "own_flags.h"
#include "system.h"

#include <errno.h>
#include <string.h>

#define STDOUT_NAME "-"

static bool print(void *context, const unsigned char *bytes, size_t size_bytes) {
    (void)context;
    return fwrite(bytes, 1, size_bytes, stdout) == size_bytes;
}

static bool write_to(void *context, const unsigned char *bytes, size_t size_bytes) {
    return lfbuild_system_write(*(int *)context, bytes, size_bytes);
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
    const char *problem = lfbuild_member_copy(&own->directory, member, (struct lfbuild_sink){print, NULL});
    if (!problem && fflush(stdout) != 0) {
        problem = "it could not be written";
    }
    return problem ? refuse(own, name, problem) : 0;
}

/* Whole or not at all, and never over a file that is there. */
static int extract_to_file(const struct lfbuild_own *own, const char *name, const struct zip_member *member) {
    const char *target = lfbuild_system_last_part(name);
    char part[LFBUILD_PATH_CAPACITY_BYTES];
    int length = snprintf(part, sizeof part, "%s.part", target);
    if (!target[0] || strpbrk(target, "\\:") || strcmp(target, "..") == 0 || strcmp(target, ".") == 0 ||
        length < 0 || (size_t)length >= sizeof part) {
        return refuse(own, name, "its name is no name of a file");
    }
    if (lfbuild_system_exists(target)) {
        return refuse(own, name, "a file of that name is there already");
    }
    int fd = lfbuild_system_create(part);
    if (fd < 0) {
        return refuse(own, name, lfbuild_system_problem());
    }
    errno = 0;
    const char *problem = lfbuild_member_copy(&own->directory, member, (struct lfbuild_sink){write_to, &fd});
    bool kept = lfbuild_system_finish(fd) && !problem && lfbuild_system_rename(part, target);
    if (kept) {
        return 0;
    }
    problem = problem ? problem : lfbuild_system_problem();
    lfbuild_system_remove(part);
    return refuse(own, name, problem);
}

int lfbuild_extract(const struct lfbuild_own *own, const char *name, const char *target) {
    struct zip_member member;
    if (!find(own, name, &member)) {
        return 1;
    }
    return target && strcmp(target, STDOUT_NAME) == 0 ? extract_to_stdout(own, name, &member)
                                                      : extract_to_file(own, name, &member);
}
