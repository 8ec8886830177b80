/* The dot product of a row of Q4_1 weights and a column of Q8_1, in the place of llama.cpp's on x86-64 (lfbuild.cmake).
 *
 * llama.cpp looks up each block's four scales in a table of 256 KiB, one by one. Here two instructions convert the eight
 * of two blocks, and one product serves as their scales and their offsets. That is a seventh to a quarter less time, and
 * five sixths of a prompt on SmolLM2 135M (Q4_1) are spent in this function (docs/decisions/0007-cpu-variants.md).
 */
#include "quants.h"

void lfbuild_upstream_vec_dot_q4_1_q8_1(int n, float *GGML_RESTRICT s, size_t bs, const void *GGML_RESTRICT vx, size_t bx,
                                        const void *GGML_RESTRICT vy, size_t by, int nrc);

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

_Static_assert(sizeof(block_q4_1) == 20 && sizeof(block_q8_1) == 36, "blocks of 32 weights, each behind two scales");

/* The low four bits of each byte, and then the high ones: 32 weights of 0 to 15. */
static inline __m256i unpack_nibbles(const uint8_t *packed) {
    __m128i pairs = _mm_loadu_si128((const __m128i *) packed);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(pairs), _mm_srli_epi16(pairs, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* Sums of four products each. */
static inline __m256 dot_of_fours(__m256i weights, __m256i column) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), weights, column));
#elif defined(__AVXVNNI__)
    return _mm256_cvtepi32_ps(_mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), weights, column));
#else
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_set1_epi16(1), _mm256_maddubs_epi16(weights, column)));
#endif
}

static inline float sum_of_lanes(__m256 vector) {
    __m128 sums = _mm_add_ps(_mm256_extractf128_ps(vector, 1), _mm256_castps256_ps128(vector));
    sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
    return _mm_cvtss_f32(_mm_add_ss(sums, _mm_movehdup_ps(sums)));
}

/* The two halves of each of two blocks as floats. */
static inline __m128 both_scales(uint32_t first, uint32_t second) {
    return _mm_cvtph_ps(_mm_insert_epi32(_mm_cvtsi32_si128((int) first), (int) second, 1));
}

static inline __m256 add_block(__m256 sum, __m128 scale, const block_q4_1 *weights, const block_q8_1 *column) {
    __m256i values = _mm256_loadu_si256((const __m256i *) column->qs);
    return _mm256_fmadd_ps(_mm256_broadcastss_ps(scale), dot_of_fours(unpack_nibbles(weights->qs), values), sum);
}

/* `s` becomes the dot product of `n` weights, a multiple of 32, and as many values. As in llama.cpp, of one row alone. */
void ggml_vec_dot_q4_1_q8_1(int n, float *GGML_RESTRICT s, size_t bs, const void *GGML_RESTRICT vx, size_t bx,
                            const void *GGML_RESTRICT vy, size_t by, int nrc) {
    const block_q4_1 *weights = vx;
    const block_q8_1 *column = vy;
    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    __m128 offsets = _mm_setzero_ps(); /* in lanes 1 and 3; the others are of no use */
    int blocks = n / QK8_1, i = 0;
    (void) bs, (void) bx, (void) by, (void) nrc;
    for (; i + 1 < blocks; i += 2) {
        __m128 of_weights = both_scales(weights[i].dm, weights[i + 1].dm);
        __m128 products = _mm_mul_ps(of_weights, both_scales(column[i].ds, column[i + 1].ds));
        offsets = _mm_add_ps(offsets, products);
        even = add_block(even, products, &weights[i], &column[i]);
        odd = add_block(odd, _mm_movehl_ps(products, products), &weights[i + 1], &column[i + 1]);
    }
    if (i < blocks) {
        __m128 products = _mm_mul_ps(both_scales(weights[i].dm, 0), both_scales(column[i].ds, 0));
        offsets = _mm_add_ps(offsets, products);
        even = add_block(even, products, &weights[i], &column[i]);
    }
    offsets = _mm_add_ps(offsets, _mm_movehl_ps(offsets, offsets));
    *s = sum_of_lanes(_mm256_add_ps(even, odd)) + _mm_cvtss_f32(_mm_movehdup_ps(offsets));
}
#else
void ggml_vec_dot_q4_1_q8_1(int n, float *GGML_RESTRICT s, size_t bs, const void *GGML_RESTRICT vx, size_t bx,
                            const void *GGML_RESTRICT vy, size_t by, int nrc) {
    lfbuild_upstream_vec_dot_q4_1_q8_1(n, s, bs, vx, bx, vy, by, nrc);
}
#endif
