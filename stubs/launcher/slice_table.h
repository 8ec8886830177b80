/* Slice table: the text of `.lfbuild/slices` taken apart, docs/formats/slices.md. Text in, values out; no file. */
#ifndef LFBUILD_LAUNCHER_SLICE_TABLE_H
#define LFBUILD_LAUNCHER_SLICE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define LFBUILD_SLICES_NAME ".lfbuild/slices"

enum {
    LFBUILD_SLICES_LIMIT = 64,
};

/* One engine, and the machines it is for. */
struct lfbuild_slice {
    const char *target;
    const char *cpus; /* levels inside it, best first, separated by commas: a machine must have the last */
    const char *member;
    unsigned method;
    uint64_t stored_bytes, decoded_bytes;
    const char *digest; /* of the decoded bytes */
};

struct lfbuild_slice_table {
    struct lfbuild_slice slices[LFBUILD_SLICES_LIMIT];
    size_t count;
};

/* Cuts `text` up: it is changed, and has to live as long as the table. NULL, or what is wrong. */
const char *lfbuild_slice_table_read(char *text, size_t size_bytes, struct lfbuild_slice_table *table);

/* The level that every machine of the slice has: the last one. */
const char *lfbuild_slice_lowest_cpu(const struct lfbuild_slice *slice);

#endif
