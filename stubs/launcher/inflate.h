/* DEFLATE, ZIP's method 8, decoded by zig's standard library (inflate.zig). */
#ifndef LFBUILD_LAUNCHER_INFLATE_H
#define LFBUILD_LAUNCHER_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* `give` fills up to `capacity` bytes: how many, 0 at the end, -1 when they cannot be read. `take` gets what was
 * decoded, piece by piece; false ends it. True: one whole stream was decoded and taken. */
bool lfbuild_inflate(void *context, ptrdiff_t (*give)(void *context, unsigned char *bytes, size_t capacity),
                     bool (*take)(void *context, const unsigned char *bytes, size_t size_bytes));

#endif
