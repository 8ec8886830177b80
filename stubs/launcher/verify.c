/* --lf-verify: every member against its CRC-32, every engine against its digest. What only the manifest's roots can
 * say, the head, and what lies between the members, is `lfbuild verify`'s. */
#include "../complaint.h"
#include "own_flags.h"
#include "place.h"
#include "member.h"

static bool drop(void *context, const unsigned char *bytes, size_t size_bytes) {
    (void)context;
    (void)bytes;
    (void)size_bytes;
    return true;
}

static size_t count_damaged_members(const struct lfbuild_own *own) {
    struct zip_member member;
    size_t damaged = 0;
    for (size_t cursor = 0; lfbuild_zip_next(&own->directory, &cursor, &member);) {
        const char *problem = lfbuild_member_copy(&own->directory, &member, (struct lfbuild_sink){drop, NULL});
        if (problem) {
            lfbuild_complain(own->path, "the member '%.*s' is damaged (%s); get the file again",
                             (int)member.name_length, member.name, problem);
            damaged++;
        }
    }
    return damaged;
}

static size_t count_damaged_slices(const struct lfbuild_own *own) {
    size_t damaged = 0;
    for (size_t i = 0; i < own->table.count; i++) {
        const struct lfbuild_slice *slice = &own->table.slices[i];
        const char *problem = lfbuild_check_slice(&own->directory, slice);
        if (problem) {
            lfbuild_complain(own->path, "its engine for %s is damaged (%s); get the file again", slice->target,
                             problem);
            damaged++;
        }
    }
    return damaged;
}

int lfbuild_verify(const struct lfbuild_own *own) {
    size_t damaged = count_damaged_members(own) + count_damaged_slices(own);
    if (damaged) {
        return 1;
    }
    printf("%s: its members and engines are whole (members: %zu, engines: %zu); for its head and all other bytes run: "
           "lfbuild verify %s\n", own->path, (size_t)own->directory.count, own->table.count, own->path);
    return 0;
}
