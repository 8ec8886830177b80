/* Digests: see digest.h. */
#include "digest.h"

#include "../cpu_check.h"

#include <stdint.h>

enum {
    DIGEST_BYTES = 32,
};

struct blake3 {
    void (*start)(void *state);
    void (*add)(void *state, const void *bytes, size_t size_bytes);
    void (*finish)(const void *state, unsigned char *digest);
};

void lfbuild_blake3_start(void *state);
void lfbuild_blake3_add(void *state, const void *bytes, size_t size_bytes);
void lfbuild_blake3_finish(const void *state, unsigned char *digest);

static const struct blake3 baseline = {lfbuild_blake3_start, lfbuild_blake3_add, lfbuild_blake3_finish};

#if defined(__x86_64__)
void lfbuild_blake3_start_avx2(void *state);
void lfbuild_blake3_add_avx2(void *state, const void *bytes, size_t size_bytes);
void lfbuild_blake3_finish_avx2(const void *state, unsigned char *digest);

static const struct blake3 avx2 = {lfbuild_blake3_start_avx2, lfbuild_blake3_add_avx2, lfbuild_blake3_finish_avx2};

/* The object was compiled for all of x86-64-v3, so all of it is asked for, not AVX2 alone. */
static const struct blake3 *choose(void) {
    static const struct blake3 *chosen;
    if (!chosen) {
        char missing[256];
        chosen = lfbuild_cpu_missing("x86-64-v3", missing, sizeof missing) == 0 ? &avx2 : &baseline;
    }
    return chosen;
}
#else
static const struct blake3 *choose(void) {
    return &baseline;
}
#endif

static struct lfbuild_hex to_hex(const unsigned char *bytes) {
    static const char digits[] = "0123456789abcdef";
    struct lfbuild_hex hex = {{0}};
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex.digits[2 * i] = digits[bytes[i] >> 4];
        hex.digits[2 * i + 1] = digits[bytes[i] & 15];
    }
    return hex;
}

void lfbuild_digest_start(struct lfbuild_digest *digest) {
    choose()->start(digest->state);
}

void lfbuild_digest_add(struct lfbuild_digest *digest, const void *bytes, size_t size_bytes) {
    choose()->add(digest->state, bytes, size_bytes);
}

struct lfbuild_hex lfbuild_digest_finish(const struct lfbuild_digest *digest) {
    unsigned char bytes[DIGEST_BYTES];
    choose()->finish(digest->state, bytes);
    return to_hex(bytes);
}

static void digest_bytes(const void *bytes, size_t size_bytes, unsigned char *result) {
    struct lfbuild_digest digest;
    choose()->start(digest.state);
    choose()->add(digest.state, bytes, size_bytes);
    choose()->finish(digest.state, result);
}

struct lfbuild_hex lfbuild_digest_of(const void *bytes, size_t size_bytes) {
    unsigned char result[DIGEST_BYTES];
    digest_bytes(bytes, size_bytes, result);
    return to_hex(result);
}

struct lfbuild_hex lfbuild_root_of_one_block(const void *bytes, size_t size_bytes) {
    unsigned char leaf[DIGEST_BYTES];
    digest_bytes(bytes, size_bytes, leaf);
    return lfbuild_digest_of(leaf, sizeof leaf);
}
