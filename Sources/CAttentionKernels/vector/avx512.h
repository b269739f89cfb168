// Vector primitives on AVX-512. See portable.h for what each one promises.
#pragma once
#include <immintrin.h>

#define VECTOR_FN static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define LANES ((size_t)16)

typedef __m512 vf;
typedef __mmask16 vm;

VECTOR_FN vf v_set(float x) { return _mm512_set1_ps(x); }
VECTOR_FN vf v_iota(void) { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

VECTOR_FN vm v_first(size_t count) { return (vm)((1u << count) - 1); }
VECTOR_FN vf v_load(const float *p) { return _mm512_loadu_ps(p); }
VECTOR_FN vf v_load_first(const float *p, size_t count) { return _mm512_maskz_loadu_ps(v_first(count), p); }
VECTOR_FN void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
VECTOR_FN void v_store_first(float *p, vf x, size_t count) { _mm512_mask_storeu_ps(p, v_first(count), x); }

VECTOR_FN vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
VECTOR_FN vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
VECTOR_FN vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
VECTOR_FN vf v_sqrt(vf x) { return _mm512_sqrt_ps(x); }
VECTOR_FN vf v_abs(vf x) { return _mm512_andnot_ps(v_set(-0.0f), x); }
VECTOR_FN vf v_with_sign_of(vf magnitude, vf sign) {
  return _mm512_or_ps(v_abs(magnitude), _mm512_and_ps(v_set(-0.0f), sign));
}

VECTOR_FN vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
VECTOR_FN vm v_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
VECTOR_FN vm v_unordered(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }
// Quiet NaN, +inf, -inf, signalling NaN.
VECTOR_FN vm v_not_finite(vf x) { return _mm512_fpclass_ps_mask(x, 0x01 | 0x08 | 0x10 | 0x80); }
VECTOR_FN vm v_none(void) { return 0; }
VECTOR_FN vm v_or(vm a, vm b) { return (vm)(a | b); }
VECTOR_FN bool v_any(vm m) { return m != 0; }
VECTOR_FN vf v_select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }

VECTOR_FN vm v_nonzero_bytes(const uint8_t *p, size_t count) {
  __m128i bytes = count == LANES ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(v_first(count), p);
  return _mm_test_epi8_mask(bytes, bytes);
}

// vscalefps rounds once, into the subnormals too, and overflows to infinity: no second step.
VECTOR_FN vf v_scale_by_power_of_2(vf x, vf shifted, vf power) {
  (void)shifted;
  return _mm512_scalef_ps(x, power);
}

VECTOR_FN float v_sum(vf x) {
  __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
VECTOR_FN float v_largest(vf x) {
  __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

// vreduceps and vscalefps take the floor themselves: of -inf the fraction is 0, and the scaled result 0.
VECTOR_FN vf v_fraction(vf x, vf *floor) {
  *floor = x;
  return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
VECTOR_FN vf v_times_power_of_2(vf x, vf floor) { return _mm512_scalef_ps(x, floor); }

#define V_FOLD_4(OP)                                                                                                   \
  __m512d ab = _mm512_castps_pd(_mm512_##OP##_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));                 \
  __m512d cd = _mm512_castps_pd(_mm512_##OP##_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));                 \
  __m512 all = _mm512_##OP##_ps(                                                                                       \
      _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));                     \
  __m256 half = _mm256_##OP##_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));                         \
  _mm_storeu_ps(result, _mm_##OP##_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)))

VECTOR_FN void v_sum_4(vf a, vf b, vf c, vf d, float *result) { V_FOLD_4(add); }
VECTOR_FN void v_largest_4(vf a, vf b, vf c, vf d, float *result) { V_FOLD_4(max); }
