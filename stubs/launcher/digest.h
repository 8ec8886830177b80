/* Digests: BLAKE3, the fastest that this CPU can run. Its code is zig's (blake3.zig). */
#ifndef LFBUILD_LAUNCHER_DIGEST_H
#define LFBUILD_LAUNCHER_DIGEST_H

#include <stdalign.h>
#include <stddef.h>

enum {
    LFBUILD_DIGEST_DIGITS = 64,
    LFBUILD_DIGEST_STATE_BYTES = 2048, /* blake3.zig does not compile if its own needs more */
};

/* 64 hexadecimal digits in lower case, terminated: how a manifest, a seal and a slice table write a digest. */
struct lfbuild_hex {
    char digits[LFBUILD_DIGEST_DIGITS + 1];
};

struct lfbuild_digest {
    alignas(16) unsigned char state[LFBUILD_DIGEST_STATE_BYTES];
};

void lfbuild_digest_start(struct lfbuild_digest *digest);
void lfbuild_digest_add(struct lfbuild_digest *digest, const void *bytes, size_t size_bytes);
struct lfbuild_hex lfbuild_digest_finish(const struct lfbuild_digest *digest);

struct lfbuild_hex lfbuild_digest_of(const void *bytes, size_t size_bytes);

/* What a manifest says of a member that is one block: the digest of the one leaf, docs/formats/blocks.md. */
struct lfbuild_hex lfbuild_root_of_one_block(const void *bytes, size_t size_bytes);

#endif
