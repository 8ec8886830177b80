/* Members: the decoded bytes of one, held against the CRC-32 and the size that the directory promises. */
#ifndef LFBUILD_LAUNCHER_MEMBER_H
#define LFBUILD_LAUNCHER_MEMBER_H

#include "../zip_directory.h"

/* Gets the bytes piece by piece; false ends the copy (it keeps the reason itself). */
struct lfbuild_sink {
    bool (*take)(void *context, const unsigned char *bytes, size_t size_bytes);
    void *context;
};

/* NULL, or what is wrong with the member. What the sink got before is to be thrown away then. */
const char *lfbuild_member_copy(const struct zip_directory *directory, const struct zip_member *member,
                                struct lfbuild_sink sink);

/* A small stored member, zero-terminated, to be freed; NULL if it is well. */
const char *lfbuild_member_text(const struct zip_directory *directory, const char *name, size_t limit_bytes,
                                char **text, size_t *size_bytes);

#endif
