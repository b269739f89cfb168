// Vector primitives on AVX2 and FMA. See portable.h for what each one promises.
#pragma once
#include <immintrin.h>

#define VECTOR_FN static inline __attribute__((always_inline, target("avx2,fma")))
#define LANES ((size_t)8)

typedef __m256 vf;
typedef __m256 vm; // all ones or all zeros in each lane

VECTOR_FN vf v_set(float x) { return _mm256_set1_ps(x); }
VECTOR_FN vf v_iota(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }

VECTOR_FN __m256i v_first_lanes(size_t count) {
  static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256((const __m256i *)(window + (LANES - count)));
}
VECTOR_FN vm v_first(size_t count) { return _mm256_castsi256_ps(v_first_lanes(count)); }
VECTOR_FN vf v_load(const float *p) { return _mm256_loadu_ps(p); }
VECTOR_FN vf v_load_first(const float *p, size_t count) { return _mm256_maskload_ps(p, v_first_lanes(count)); }
VECTOR_FN void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
VECTOR_FN void v_store_first(float *p, vf x, size_t count) { _mm256_maskstore_ps(p, v_first_lanes(count), x); }

VECTOR_FN vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
VECTOR_FN vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
VECTOR_FN vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
VECTOR_FN vf v_sqrt(vf x) { return _mm256_sqrt_ps(x); }
VECTOR_FN vf v_abs(vf x) { return _mm256_andnot_ps(v_set(-0.0f), x); }
VECTOR_FN vf v_with_sign_of(vf magnitude, vf sign) {
  return _mm256_or_ps(v_abs(magnitude), _mm256_and_ps(v_set(-0.0f), sign));
}

VECTOR_FN vm v_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
VECTOR_FN vm v_equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
VECTOR_FN vm v_unordered(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_UNORD_Q); }
VECTOR_FN vm v_not_finite(vf x) {
  __m256i exponent = _mm256_set1_epi32(0x7f800000);
  __m256i bits = _mm256_and_si256(_mm256_castps_si256(x), exponent);
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(bits, exponent));
}
VECTOR_FN vm v_none(void) { return _mm256_setzero_ps(); }
VECTOR_FN vm v_or(vm a, vm b) { return _mm256_or_ps(a, b); }
VECTOR_FN bool v_any(vm m) { return _mm256_movemask_ps(m) != 0; }
VECTOR_FN vf v_select(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }

VECTOR_FN vm v_nonzero_bytes(const uint8_t *p, size_t count) {
  uint64_t bytes = 0;
  if (count == LANES) {
    memcpy(&bytes, p, LANES);
  } else {
    for (size_t i = 0; i < count; i++) bytes |= (uint64_t)p[i] << (8 * i);
  }
  __m256i wide = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes));
  return _mm256_castsi256_ps(_mm256_cmpgt_epi32(wide, _mm256_setzero_si256()));
}

VECTOR_FN vf v_scale_by_power_of_2(vf x, vf shifted, vf power) {
  (void)power;
  __m256i biased = _mm256_castps_si256(shifted);
  __m256i half = _mm256_srli_epi32(biased, 1);
  __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(half, 23));
  __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(biased, half), 23));
  return _mm256_mul_ps(_mm256_mul_ps(x, first), second);
}

VECTOR_FN float v_sum(vf x) {
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
VECTOR_FN float v_largest(vf x) {
  __m128 b = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

VECTOR_FN vf v_fraction(vf x, vf *floor) {
  x = v_max(v_set(-127.0f), x);
  *floor = _mm256_floor_ps(x);
  return x - *floor;
}
VECTOR_FN vf v_times_power_of_2(vf x, vf floor) {
  __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(floor), _mm256_set1_epi32(127));
  return x * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

#define V_FOLD_4(OP)                                                                                                   \
  __m256d ab = _mm256_castps_pd(_mm256_##OP##_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));                 \
  __m256d cd = _mm256_castps_pd(_mm256_##OP##_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));                 \
  __m256 all = _mm256_##OP##_ps(                                                                                       \
      _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)), _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));                     \
  _mm_storeu_ps(result, _mm_##OP##_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)))

VECTOR_FN void v_sum_4(vf a, vf b, vf c, vf d, float *result) { V_FOLD_4(add); }
VECTOR_FN void v_largest_4(vf a, vf b, vf c, vf d, float *result) { V_FOLD_4(max); }
