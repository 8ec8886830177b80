/* Member files: which bytes of which file a name on llama.cpp's command line means. docs/formats/launch.md has the rules. */
#ifndef LFBUILD_MEMBER_FILE_H
#define LFBUILD_MEMBER_FILE_H

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LFBUILD_OWN_PREFIX "/zip/"

struct lfbuild_span {
    int fd; /* the container, opened for reading and locked; the caller closes it */
    uint64_t offset;
    uint64_t size_bytes;
};

enum lfbuild_find {
    LFBUILD_MEMBER,     /* the span says where */
    LFBUILD_PLAIN_FILE, /* open the name itself */
    LFBUILD_REFUSED,    /* the user has been told; errno is set */
};

enum lfbuild_find lfbuild_find_weights(const char *name, struct lfbuild_span *span);

/* A small stored member of the program's own file, zero-terminated, to be freed. */
enum lfbuild_text {
    LFBUILD_TEXT_READ,
    LFBUILD_TEXT_ABSENT,
    LFBUILD_TEXT_REFUSED, /* the user has been told */
};
struct lfbuild_own_texts;
/* NULL with *refused = false: this program carries no ZIP directory (a bare engine). */
LFBUILD_API struct lfbuild_own_texts *lfbuild_open_own_texts(bool *refused);
LFBUILD_API enum lfbuild_text lfbuild_read_own_text(struct lfbuild_own_texts *texts, const char *name, char **text,
                                                    size_t *size_bytes);
LFBUILD_API void lfbuild_close_own_texts(struct lfbuild_own_texts *texts);

#ifdef __cplusplus
}
#endif

#endif
