/* The central directory of a ZIP file: where members are, nothing about what they mean.
 *
 * Reads the ZIP32 and ZIP64 layouts of lfbuild and of Mozilla's zipalign. No offset, size or count is used before it
 * was compared with the file's real size. Never writes, never prints.
 */
#ifndef LFBUILD_ZIP_DIRECTORY_H
#define LFBUILD_ZIP_DIRECTORY_H

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ZIP_METHOD_STORED = 0,
    ZIP_METHOD_DEFLATED = 8,
    ZIP_DIGEST_DIGITS = 64,
};

enum zip_status {
    ZIP_FOUND,
    ZIP_ABSENT,    /* no end record in the last 64 KiB: some other kind of file */
    ZIP_DAMAGED,   /* an end record whose directory cannot be believed; `problem` says why */
    ZIP_UNREADABLE /* the system refused; errno says why */
};

/* What the comment of the end record says, docs/formats/seal.md. */
enum zip_seal {
    ZIP_SEAL_NONE, /* somebody else's ZIP */
    ZIP_SEAL_CLEAN,
    ZIP_SEAL_REDO,   /* an update was interrupted */
    ZIP_SEAL_UNKNOWN /* lfbuild's, but damaged or of a later format */
};

struct zip_directory {
    int fd;
    uint64_t file_size_bytes;
    uint64_t offset; /* of the first header, from the first byte of the file */
    uint64_t count;
    unsigned char *bytes;
    size_t size_bytes;
    enum zip_seal seal;
    char manifest_digest[ZIP_DIGEST_DIGITS + 1]; /* what a clean seal says; else empty */
    const char *problem;
};

struct zip_member {
    const char *name; /* not terminated: it lies in the directory's bytes */
    size_t name_length;
    unsigned method;
    unsigned flags;
    uint32_t crc32; /* of the decoded bytes */
    uint64_t size_bytes;
    uint64_t packed_size_bytes;
    uint64_t header_offset;
};

enum zip_status lfbuild_zip_load(int fd, struct zip_directory *directory);
void lfbuild_zip_free(struct zip_directory *directory);

/* Walks the members: start with *cursor = 0; false after the last one. */
bool lfbuild_zip_next(const struct zip_directory *directory, size_t *cursor, struct zip_member *member);

enum zip_search {
    ZIP_MEMBER_FOUND,
    ZIP_MEMBER_ABSENT,
    ZIP_MEMBER_REPEATED, /* two members of one name: readers would disagree which one is meant */
};
enum zip_search lfbuild_zip_find(const struct zip_directory *directory, const char *name, struct zip_member *member);

/* Where the member's bytes begin. NULL, or what is wrong with its local header. */
const char *lfbuild_zip_locate(const struct zip_directory *directory, const struct zip_member *member,
                               uint64_t *offset);

#ifdef __cplusplus
}
#endif

#endif
