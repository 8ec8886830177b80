/* Slice table: see slice_table.h. */
#include "slice_table.h"

#include "digest.h"

#include <stdbool.h>
#include <string.h>

#define FIRST_LINE "lfbuild-slices 1\n"
#define END_START "end "

enum {
    END_LINE_BYTES = sizeof END_START - 1 + LFBUILD_DIGEST_DIGITS + 1,
    FIELDS = 8,
    FIELD_LIMIT_BYTES = 255,
    LEVELS_LIMIT_BYTES = 1023, /* upstream's thirteen levels of x86-64 have 300 */
    NUMBER_LIMIT_DIGITS = 19, /* fits 64 bits, whatever the digits are */
};

/* Printable ASCII characters without spaces, at least one; the space behind them becomes their end. */
static char *cut_field(char **rest, size_t limit_bytes) {
    char *field = *rest;
    size_t length = 0;
    while (field[length] > ' ' && field[length] <= '~') {
        length++;
    }
    if (length == 0 || length > limit_bytes || (field[length] != ' ' && field[length] != '\0')) {
        return NULL;
    }
    *rest = field[length] ? field + length + 1 : field + length;
    field[length] = '\0';
    return field;
}

static bool read_number(const char *field, uint64_t *number) {
    size_t length = strspn(field, "0123456789");
    if (length == 0 || length > NUMBER_LIMIT_DIGITS || field[length]) {
        return false;
    }
    *number = 0;
    for (; *field; field++) {
        *number = *number * 10 + (uint64_t)(*field - '0');
    }
    return true;
}

static bool is_digest(const char *field) {
    return strlen(field) == LFBUILD_DIGEST_DIGITS && strspn(field, "0123456789abcdef") == LFBUILD_DIGEST_DIGITS;
}

/* slice TARGET CPUS MEMBER METHOD STORED DECODED DIGEST */
static bool read_line(char *line, size_t length, struct lfbuild_slice *slice) {
    char *fields[FIELDS], *rest = line;
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = cut_field(&rest, i == 2 ? LEVELS_LIMIT_BYTES : FIELD_LIMIT_BYTES);
        if (fields[i] == NULL) {
            return false;
        }
    }
    uint64_t method;
    bool is_slice = strcmp(fields[0], "slice") == 0 && is_digest(fields[7]) &&
                    fields[7] + LFBUILD_DIGEST_DIGITS == line + length;
    if (!is_slice || !read_number(fields[4], &method) || method > UINT16_MAX ||
        !read_number(fields[5], &slice->stored_bytes) || !read_number(fields[6], &slice->decoded_bytes)) {
        return false;
    }
    slice->target = fields[1];
    slice->cpus = fields[2];
    slice->member = fields[3];
    slice->method = (unsigned)method;
    slice->digest = fields[7];
    return true;
}

/* The last line vouches for those before it, so that a damaged table is told apart from a false one. */
static bool ends_well(const char *text, size_t body_bytes) {
    const char *end = text + body_bytes;
    struct lfbuild_hex digest = lfbuild_digest_of(text, body_bytes);
    return memcmp(end, END_START, strlen(END_START)) == 0 && end[END_LINE_BYTES - 1] == '\n' &&
           memcmp(end + strlen(END_START), digest.digits, LFBUILD_DIGEST_DIGITS) == 0;
}

const char *lfbuild_slice_table_read(char *text, size_t size_bytes, struct lfbuild_slice_table *table) {
    size_t first_bytes = strlen(FIRST_LINE);
    *table = (struct lfbuild_slice_table){.count = 0};
    if (size_bytes < first_bytes + END_LINE_BYTES || memcmp(text, FIRST_LINE, first_bytes) != 0) {
        return "it is of a later lfbuild than this program";
    }
    size_t body_bytes = size_bytes - END_LINE_BYTES;
    if (!ends_well(text, body_bytes)) {
        return "it does not match its own digest";
    }
    for (size_t at = first_bytes; at < body_bytes;) {
        char *line = text + at, *newline = memchr(line, '\n', body_bytes - at);
        if (!newline || table->count == LFBUILD_SLICES_LIMIT) {
            return "it is malformed";
        }
        *newline = '\0';
        if (!read_line(line, (size_t)(newline - line), &table->slices[table->count++])) {
            return "it is malformed";
        }
        at = (size_t)(newline - text) + 1;
    }
    return NULL;
}

const char *lfbuild_slice_lowest_cpu(const struct lfbuild_slice *slice) {
    const char *comma = strrchr(slice->cpus, ',');
    return comma ? comma + 1 : slice->cpus;
}
