/* Members: see member.h. */
#include "member.h"

#include "crc32.h"
#include "inflate.h"

#include <stdlib.h>
#include <string.h>

enum {
    STEP_BYTES = 1 << 18, /* stays in a CPU's second cache, where digests find it again */
    FLAG_ENCRYPTED = 1,
};

struct copy {
    const struct zip_directory *directory;
    struct lfbuild_sink sink;
    uint64_t offset, left_bytes;    /* of the stored bytes */
    uint64_t promised_bytes;        /* decoded bytes still to come */
    uint32_t crc;
    bool unreadable, too_long, sink_ended;
};

static ptrdiff_t give(void *context, unsigned char *bytes, size_t capacity) {
    struct copy *copy = context;
    size_t step = copy->left_bytes < capacity ? (size_t)copy->left_bytes : capacity;
    if (!lfbuild_platform_read_at(copy->directory->fd, bytes, step, copy->offset)) {
        copy->unreadable = true;
        return -1;
    }
    copy->offset += step;
    copy->left_bytes -= step;
    return (ptrdiff_t)step;
}

static bool take(void *context, const unsigned char *bytes, size_t size_bytes) {
    struct copy *copy = context;
    if (size_bytes > copy->promised_bytes) {
        copy->too_long = true;
        return false;
    }
    copy->promised_bytes -= size_bytes;
    copy->crc = lfbuild_crc32(copy->crc, bytes, size_bytes);
    copy->sink_ended = !copy->sink.take(copy->sink.context, bytes, size_bytes);
    return !copy->sink_ended;
}

static bool copy_stored(struct copy *copy) {
    static unsigned char buffer[STEP_BYTES];
    while (copy->left_bytes > 0) {
        ptrdiff_t got = give(copy, buffer, sizeof buffer);
        if (got < 0 || !take(copy, buffer, (size_t)got)) {
            return false;
        }
    }
    return true;
}

static const char *problem_of(const struct copy *copy, bool copied) {
    return copy->unreadable                                      ? "it cannot be read"
           : copy->sink_ended                                    ? "it could not be written"
           : copy->too_long || (copied && copy->promised_bytes)  ? "its size is not the promised one"
           : !copied                                             ? "its compressed bytes are no valid stream"
           : copy->left_bytes                                    ? "bytes follow its compressed stream"
                                                                 : NULL;
}

const char *lfbuild_member_copy(const struct zip_directory *directory, const struct zip_member *member,
                                struct lfbuild_sink sink) {
    struct copy copy = {
        .directory = directory,
        .sink = sink,
        .left_bytes = member->packed_size_bytes,
        .promised_bytes = member->size_bytes,
    };
    if (member->flags & FLAG_ENCRYPTED) {
        return "it is encrypted";
    }
    if (member->method != ZIP_METHOD_STORED && member->method != ZIP_METHOD_DEFLATED) {
        return "it is compressed in a way that this program does not know";
    }
    const char *problem = lfbuild_zip_locate(directory, member, &copy.offset);
    if (problem) {
        return problem;
    }
    bool copied = member->method == ZIP_METHOD_STORED ? copy_stored(&copy) : lfbuild_inflate(&copy, give, take);
    problem = problem_of(&copy, copied);
    return problem ? problem : copy.crc != member->crc32 ? "its CRC-32 is not the promised one" : NULL;
}

struct text {
    char *bytes;
    size_t used_bytes;
};

static bool take_text(void *context, const unsigned char *bytes, size_t size_bytes) {
    struct text *text = context;
    memcpy(text->bytes + text->used_bytes, bytes, size_bytes); /* never more than the directory promises: see take */
    text->used_bytes += size_bytes;
    return true;
}

const char *lfbuild_member_text(const struct zip_directory *directory, const char *name, size_t limit_bytes,
                                char **text, size_t *size_bytes) {
    struct zip_member member;
    switch (lfbuild_zip_find(directory, name, &member)) {
    case ZIP_MEMBER_ABSENT:
        return "it is not there";
    case ZIP_MEMBER_REPEATED:
        return "it is there twice";
    default:
        break;
    }
    if (member.method != ZIP_METHOD_STORED) {
        return "it is compressed";
    }
    if (member.size_bytes > limit_bytes) {
        return "it is too large";
    }
    struct text read = {.bytes = malloc((size_t)member.size_bytes + 1)};
    if (!read.bytes) {
        return "there is no memory for it";
    }
    const char *problem = lfbuild_member_copy(directory, &member, (struct lfbuild_sink){take_text, &read});
    if (problem) {
        free(read.bytes);
        return problem;
    }
    read.bytes[read.used_bytes] = '\0';
    *text = read.bytes;
    *size_bytes = read.used_bytes;
    return NULL;
}
