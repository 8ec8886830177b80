/* The central directory of a ZIP file: see zip_directory.h, and APPNOTE.TXT 4.3 for the records. */
#include "zip_directory.h"

#include <stdlib.h>
#include <string.h>

/* Sizes of the records up to their variable part, and the offsets of the fields used here. */
enum {
    END_RECORD_BYTES = 22,
    END_RECORD_COUNT_HERE = 8,
    END_RECORD_COUNT = 10,
    END_RECORD_DIRECTORY_SIZE = 12,
    END_RECORD_DIRECTORY_OFFSET = 16,
    END_RECORD_COMMENT_LENGTH = 20,
    END64_LOCATOR_BYTES = 20,
    END64_LOCATOR_OFFSET = 8,
    END64_BYTES = 56,
    END64_COUNT_HERE = 24,
    END64_COUNT = 32,
    END64_DIRECTORY_SIZE = 40,
    END64_DIRECTORY_OFFSET = 48,
    HEADER_BYTES = 46,
    HEADER_FLAGS = 8,
    HEADER_METHOD = 10,
    HEADER_CRC32 = 16,
    HEADER_PACKED_SIZE = 20,
    HEADER_SIZE = 24,
    HEADER_NAME_LENGTH = 28,
    HEADER_EXTRA_LENGTH = 30,
    HEADER_COMMENT_LENGTH = 32,
    HEADER_LOCAL_OFFSET = 42,
    LOCAL_HEADER_BYTES = 30,
    LOCAL_HEADER_NAME_LENGTH = 26,
    LOCAL_HEADER_EXTRA_LENGTH = 28,
    EXTRA_FIELD_ZIP64 = 0x0001,
};

#define END_RECORD_MAGIC 0x06054b50u
#define END64_LOCATOR_MAGIC 0x07064b50u
#define END64_MAGIC 0x06064b50u
#define HEADER_MAGIC 0x02014b50u
#define LOCAL_HEADER_MAGIC 0x04034b50u
#define IN_ZIP64_32 0xffffffffu /* "the real value is in the ZIP64 field" */

/* Mozilla's readers look no further back, so neither may we: all must agree which end record counts. */
#define TAIL_BYTES ((size_t)65536)
/* Two hundred thousand members; more is an attack on memory. lfbuild.formats.zip has the same number. */
#define DIRECTORY_LIMIT_MIB 16
#define IN_WORDS(number) AS_IT_STANDS(number)
#define AS_IT_STANDS(text) #text
/* End records that lie, tried before giving up: 64 KiB of them must not cost 64 KiB of directory reads. */
enum {
    LYING_RECORDS_LIMIT = 8,
};

/* The seal, docs/formats/seal.md: "lfbuild 1 " 16 digits " " "clean " or "redo  " 64 hexadecimal digits "\n". */
#define SEAL_START "lfbuild "
#define SEAL_VERSION_1 "lfbuild 1 "
#define SEAL_CLEAN " clean "
#define SEAL_REDO " redo  "
enum {
    SEAL_BYTES = 98,
    SEAL_STATE_OFFSET = 26,
    SEAL_DIGEST_OFFSET = 33,
    SEAL_NEWLINE_OFFSET = 97,
};

static unsigned read_u16(const unsigned char *bytes) {
    return bytes[0] | (unsigned)bytes[1] << 8;
}

static uint32_t read_u32(const unsigned char *bytes) {
    return read_u16(bytes) | (uint32_t)read_u16(bytes + 2) << 16;
}

static uint64_t read_u64(const unsigned char *bytes) {
    return read_u32(bytes) | (uint64_t)read_u32(bytes + 4) << 32;
}

/* What an end record (either kind) claims, before anything of it is believed. */
struct claim {
    uint64_t count_here, count, size_bytes, offset;
    uint64_t limit; /* offset of the record that makes the claim: the directory ends before it */
};

struct tail {
    unsigned char *bytes;
    size_t size_bytes;
    uint64_t offset;
};

static struct claim claim_of_end_record(const unsigned char *record, uint64_t offset) {
    return (struct claim){
        .count_here = read_u16(record + END_RECORD_COUNT_HERE),
        .count = read_u16(record + END_RECORD_COUNT),
        .size_bytes = read_u32(record + END_RECORD_DIRECTORY_SIZE),
        .offset = read_u32(record + END_RECORD_DIRECTORY_OFFSET),
        .limit = offset,
    };
}

/* A ZIP64 locator stands directly before the end record, and only there. */
static bool find_zip64_claim(int fd, const struct tail *tail, size_t at, struct claim *claim) {
    if (at < END64_LOCATOR_BYTES || read_u32(tail->bytes + at - END64_LOCATOR_BYTES) != END64_LOCATOR_MAGIC) {
        return false;
    }
    uint64_t locator_offset = tail->offset + at - END64_LOCATOR_BYTES;
    uint64_t offset = read_u64(tail->bytes + at - END64_LOCATOR_BYTES + END64_LOCATOR_OFFSET);
    unsigned char record[END64_BYTES];
    if (locator_offset < END64_BYTES || offset > locator_offset - END64_BYTES ||
        !lfbuild_platform_read_at(fd, record, sizeof record, offset) || read_u32(record) != END64_MAGIC) {
        return false;
    }
    *claim = (struct claim){
        .count_here = read_u64(record + END64_COUNT_HERE),
        .count = read_u64(record + END64_COUNT),
        .size_bytes = read_u64(record + END64_DIRECTORY_SIZE),
        .offset = read_u64(record + END64_DIRECTORY_OFFSET),
        .limit = offset,
    };
    return true;
}

static const char *check_claim(const struct claim *claim) {
    if (claim->count == 0 || claim->count != claim->count_here) {
        return "its ZIP directory is empty or spread over several files";
    }
    if (claim->size_bytes > claim->limit || claim->offset > claim->limit - claim->size_bytes) {
        return "its ZIP directory lies outside the file";
    }
    if (claim->size_bytes > (uint64_t)DIRECTORY_LIMIT_MIB << 20) {
        return "its ZIP directory is larger than " IN_WORDS(DIRECTORY_LIMIT_MIB) " MiB";
    }
    if (claim->count > claim->size_bytes / HEADER_BYTES) {
        return "its ZIP directory claims more members than it has room for";
    }
    return NULL;
}

/* Values that did not fit are in the ZIP64 extra field, in this order, only those that are asked for. */
static bool read_zip64_values(const unsigned char *extra, size_t length, uint64_t **wanted, size_t count) {
    while (length >= 4) {
        unsigned id = read_u16(extra);
        size_t size_bytes = read_u16(extra + 2);
        extra += 4;
        length -= 4;
        if (size_bytes > length) {
            return false;
        }
        if (id == EXTRA_FIELD_ZIP64) {
            for (size_t i = 0; i < count; i++) {
                if (size_bytes < 8 * (i + 1)) {
                    return false;
                }
                *wanted[i] = read_u64(extra + 8 * i);
            }
            return true;
        }
        extra += size_bytes;
        length -= size_bytes;
    }
    return false;
}

static bool read_zip64_member(const unsigned char *extra, size_t length, struct zip_member *member) {
    uint64_t *wanted[3];
    size_t count = 0;
    if (member->size_bytes == IN_ZIP64_32) {
        wanted[count++] = &member->size_bytes;
    }
    if (member->packed_size_bytes == IN_ZIP64_32) {
        wanted[count++] = &member->packed_size_bytes;
    }
    if (member->header_offset == IN_ZIP64_32) {
        wanted[count++] = &member->header_offset;
    }
    return count == 0 || read_zip64_values(extra, length, wanted, count);
}

bool lfbuild_zip_next(const struct zip_directory *directory, size_t *cursor, struct zip_member *member) {
    size_t remaining = directory->size_bytes - *cursor;
    const unsigned char *header = directory->bytes + *cursor;
    if (remaining < HEADER_BYTES || read_u32(header) != HEADER_MAGIC) {
        return false;
    }
    size_t name_length = read_u16(header + HEADER_NAME_LENGTH);
    size_t extra_length = read_u16(header + HEADER_EXTRA_LENGTH);
    size_t length = HEADER_BYTES + name_length + extra_length + read_u16(header + HEADER_COMMENT_LENGTH);
    if (length > remaining) {
        return false;
    }
    *member = (struct zip_member){
        .name = (const char *)header + HEADER_BYTES,
        .name_length = name_length,
        .method = read_u16(header + HEADER_METHOD),
        .flags = read_u16(header + HEADER_FLAGS),
        .crc32 = read_u32(header + HEADER_CRC32),
        .size_bytes = read_u32(header + HEADER_SIZE),
        .packed_size_bytes = read_u32(header + HEADER_PACKED_SIZE),
        .header_offset = read_u32(header + HEADER_LOCAL_OFFSET),
    };
    if (!read_zip64_member(header + HEADER_BYTES + name_length, extra_length, member)) {
        return false;
    }
    *cursor += length;
    return true;
}

/* The count and the walk must agree, so that a member cannot hide behind a record that readers treat differently. */
static const char *check_members(const struct zip_directory *directory) {
    struct zip_member member;
    size_t cursor = 0;
    uint64_t count = 0;
    while (lfbuild_zip_next(directory, &cursor, &member)) {
        count++;
    }
    return count == directory->count ? NULL : "its ZIP directory is malformed";
}

static bool has(const unsigned char *comment, size_t offset, const char *text) {
    return memcmp(comment + offset, text, strlen(text)) == 0;
}

static enum zip_seal read_seal(const unsigned char *comment, size_t length) {
    if (length < strlen(SEAL_START) || !has(comment, 0, SEAL_START)) {
        return ZIP_SEAL_NONE;
    }
    if (length != SEAL_BYTES || !has(comment, 0, SEAL_VERSION_1) || !has(comment, SEAL_NEWLINE_OFFSET, "\n")) {
        return ZIP_SEAL_UNKNOWN;
    }
    return has(comment, SEAL_STATE_OFFSET, SEAL_CLEAN)  ? ZIP_SEAL_CLEAN
           : has(comment, SEAL_STATE_OFFSET, SEAL_REDO) ? ZIP_SEAL_REDO
                                                        : ZIP_SEAL_UNKNOWN;
}

static enum zip_status load_claim(const struct claim *claim, struct zip_directory *directory) {
    if ((directory->problem = check_claim(claim)) != NULL) {
        return ZIP_DAMAGED;
    }
    directory->offset = claim->offset;
    directory->count = claim->count;
    directory->size_bytes = (size_t)claim->size_bytes;
    directory->bytes = malloc(directory->size_bytes);
    if (!directory->bytes ||
        !lfbuild_platform_read_at(directory->fd, directory->bytes, directory->size_bytes, claim->offset)) {
        return ZIP_UNREADABLE;
    }
    directory->problem = check_members(directory);
    return directory->problem ? ZIP_DAMAGED : ZIP_FOUND;
}

/* The last end record with a sound directory counts: one that was half written leaves the one before it in force. */
static enum zip_status search_tail(const struct tail *tail, struct zip_directory *directory) {
    enum zip_status status = ZIP_ABSENT;
    const char *first_problem = NULL;
    unsigned lying = 0;
    for (size_t at = tail->size_bytes - END_RECORD_BYTES + 1; at-- > 0 && lying < LYING_RECORDS_LIMIT;) {
        const unsigned char *record = tail->bytes + at;
        size_t behind_bytes = tail->size_bytes - at - END_RECORD_BYTES;
        if (read_u32(record) != END_RECORD_MAGIC || read_u16(record + END_RECORD_COMMENT_LENGTH) > behind_bytes) {
            continue;
        }
        struct claim claim;
        if (!find_zip64_claim(directory->fd, tail, at, &claim)) {
            claim = claim_of_end_record(record, tail->offset + at);
        }
        enum zip_status found = load_claim(&claim, directory);
        if (found == ZIP_FOUND || found == ZIP_UNREADABLE) {
            const unsigned char *comment = record + END_RECORD_BYTES;
            directory->seal = read_seal(comment, read_u16(record + END_RECORD_COMMENT_LENGTH));
            if (directory->seal == ZIP_SEAL_CLEAN) {
                memcpy(directory->manifest_digest, comment + SEAL_DIGEST_OFFSET, ZIP_DIGEST_DIGITS);
            }
            return found;
        }
        lfbuild_zip_free(directory);
        first_problem = first_problem ? first_problem : directory->problem;
        status = found;
        lying++;
    }
    directory->problem = first_problem;
    return status;
}

enum zip_status lfbuild_zip_load(int fd, struct zip_directory *directory) {
    *directory = (struct zip_directory){.fd = fd};
    int64_t size_bytes = lfbuild_platform_size(fd);
    if (size_bytes < END_RECORD_BYTES) {
        return ZIP_ABSENT;
    }
    directory->file_size_bytes = (uint64_t)size_bytes;
    struct tail tail = {.size_bytes = (uint64_t)size_bytes < TAIL_BYTES ? (size_t)size_bytes : TAIL_BYTES};
    tail.offset = directory->file_size_bytes - tail.size_bytes;
    tail.bytes = malloc(tail.size_bytes);
    enum zip_status status = ZIP_UNREADABLE;
    if (tail.bytes && lfbuild_platform_read_at(fd, tail.bytes, tail.size_bytes, tail.offset)) {
        status = search_tail(&tail, directory);
    }
    free(tail.bytes);
    if (status == ZIP_UNREADABLE) {
        lfbuild_zip_free(directory);
    }
    return status;
}

void lfbuild_zip_free(struct zip_directory *directory) {
    free(directory->bytes);
    directory->bytes = NULL;
    directory->size_bytes = 0;
}

enum zip_search lfbuild_zip_find(const struct zip_directory *directory, const char *name, struct zip_member *member) {
    enum zip_search result = ZIP_MEMBER_ABSENT;
    size_t length = strlen(name);
    size_t cursor = 0;
    struct zip_member candidate;
    while (lfbuild_zip_next(directory, &cursor, &candidate)) {
        if (candidate.name_length != length || memcmp(candidate.name, name, length) != 0) {
            continue;
        }
        if (result == ZIP_MEMBER_FOUND) {
            return ZIP_MEMBER_REPEATED;
        }
        *member = candidate;
        result = ZIP_MEMBER_FOUND;
    }
    return result;
}

const char *lfbuild_zip_locate(const struct zip_directory *directory, const struct zip_member *member,
                               uint64_t *offset) {
    unsigned char header[LOCAL_HEADER_BYTES];
    uint64_t limit = directory->offset; /* members lie before the directory */
    if (limit < sizeof header || member->header_offset > limit - sizeof header) {
        return "its local header lies outside the file";
    }
    if (!lfbuild_platform_read_at(directory->fd, header, sizeof header, member->header_offset) ||
        read_u32(header) != LOCAL_HEADER_MAGIC || read_u16(header + LOCAL_HEADER_NAME_LENGTH) != member->name_length) {
        return "its local header does not match the ZIP directory";
    }
    *offset = member->header_offset + sizeof header + member->name_length + read_u16(header + LOCAL_HEADER_EXTRA_LENGTH);
    if (*offset > limit || member->packed_size_bytes > limit - *offset) {
        return "its data lies outside the file";
    }
    return NULL;
}
