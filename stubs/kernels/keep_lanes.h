/* Forced into llama.cpp's sgemm.cpp where clang compiles it for x86-64 (lfbuild.cmake): keeps four products in one vector.
 *
 * The kernels for quantized blocks multiply four pairs of scales at once, copy the result into both lanes, and then
 * shuffle each product to where it is needed: five shuffles. clang joins copy and shuffles into seven, of which a core has
 * too few ports; gcc leaves them alone. A value that has been through an empty asm statement is not joined. It cost 5 % of
 * the prompt's speed on Gemma 3 270M (docs/decisions/0007-cpu-variants.md).
 */
#ifndef LFBUILD_KEEP_LANES_H
#define LFBUILD_KEEP_LANES_H

#if defined(__clang__) && defined(__AVX__)
#include <immintrin.h>

static inline __attribute__((always_inline)) __m256 lfbuild_low_lane_twice(__m256 vector) {
    __m256 both = __builtin_shufflevector(vector, vector, 0, 1, 2, 3, 0, 1, 2, 3);
    __asm__("" : "+v"(both));
    return both;
}

#undef _mm256_permute2f128_ps
#define _mm256_permute2f128_ps(a, b, which)                                                                                \
    ((which) == 0 ? lfbuild_low_lane_twice(a) : (__m256) __builtin_ia32_vperm2f128_ps256((a), (b), (which)))
#endif

#endif
