// Vector primitives on the compiler's own vectors of four floats, and the promises that the other sets keep too.
#pragma once

#define VECTOR_FN static inline __attribute__((always_inline))
#define LANES ((size_t)4)

typedef float vf __attribute__((ext_vector_type(4)));
typedef int32_t vm __attribute__((ext_vector_type(4))); // all ones or all zeros in each lane
typedef uint32_t vu __attribute__((ext_vector_type(4)));
typedef uint8_t vb __attribute__((ext_vector_type(4)));

VECTOR_FN vf v_set(float x) { return (vf){x, x, x, x}; }
VECTOR_FN vf v_iota(void) { return (vf){0, 1, 2, 3}; }

/// The lanes below `count`, which may be 0 … LANES.
VECTOR_FN vm v_first(size_t count) { return (vm){0, 1, 2, 3} < (int32_t)count; }

VECTOR_FN vf v_load(const float *p) {
  vf x;
  memcpy(&x, p, sizeof x);
  return x;
}
VECTOR_FN void v_store(float *p, vf x) { memcpy(p, &x, sizeof x); }

VECTOR_FN float s_load(const float *p) {
  float x;
  memcpy(&x, p, sizeof x);
  return x;
}
VECTOR_FN void s_store(float *p, float x) { memcpy(p, &x, sizeof x); }

/// The first `count` < LANES lanes from memory, the others 0. Touches no byte beyond.
VECTOR_FN vf v_load_first(const float *p, size_t count) {
  vf x = {0, 0, 0, 0};
  if (count > 0) x.x = s_load(p);
  if (count > 1) x.y = s_load(p + 1);
  if (count > 2) x.z = s_load(p + 2);
  return x;
}
/// Writes the first `count` < LANES lanes. Touches no byte beyond.
VECTOR_FN void v_store_first(float *p, vf x, size_t count) {
  if (count > 0) s_store(p, x.x);
  if (count > 1) s_store(p + 1, x.y);
  if (count > 2) s_store(p + 2, x.z);
}

/// a·b + c, rounded once where the processor can; never a call of libm's fmaf.
VECTOR_FN vf v_fma(vf a, vf b, vf c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// min(a, b) and max(a, b); b if either is a NaN.
VECTOR_FN vf v_min(vf a, vf b) { return a < b ? a : b; }
VECTOR_FN vf v_max(vf a, vf b) { return a > b ? a : b; }

/// Rounded once; never a call of libm's sqrtf.
VECTOR_FN vf v_sqrt(vf x) { return __builtin_elementwise_sqrt(x); }

VECTOR_FN vf v_abs(vf x) { return (vf)((vu)x & 0x7fffffffu); }
VECTOR_FN vf v_with_sign_of(vf magnitude, vf sign) {
  return (vf)(((vu)magnitude & 0x7fffffffu) | ((vu)sign & 0x80000000u));
}

VECTOR_FN vm v_less(vf a, vf b) { return a < b; }
VECTOR_FN vm v_equal(vf a, vf b) { return a == b; }
/// Where a or b is a NaN.
VECTOR_FN vm v_unordered(vf a, vf b) { return (a != a) | (b != b); }
/// Where x is an infinity or a NaN.
VECTOR_FN vm v_not_finite(vf x) { return ((vu)x & 0x7f800000u) == 0x7f800000u; }
VECTOR_FN vm v_none(void) { return (vm){0, 0, 0, 0}; }
VECTOR_FN vm v_or(vm a, vm b) { return a | b; }
VECTOR_FN bool v_any(vm m) {
  vm pair = m | m.zwxy;
  return (pair.x | pair.y) != 0;
}
VECTOR_FN vf v_select(vm m, vf yes, vf no) { return m ? yes : no; }

/// Where the byte is not 0; the lanes from `count` on read nothing.
VECTOR_FN vm v_nonzero_bytes(const uint8_t *p, size_t count) {
  vb bytes = {0, 0, 0, 0};
  if (count == LANES) {
    memcpy(&bytes, p, LANES);
  } else {
    if (count > 0) bytes.x = p[0];
    if (count > 1) bytes.y = p[1];
    if (count > 2) bytes.z = p[2];
  }
  return __builtin_convertvector(bytes, vm) != 0;
}

/// x · 2^power, overflow to infinity and underflow through the subnormals included, for x in [0.5, 2].
///
/// `power` is an integer in [-150, 129] and `shifted` the same number as power + POWER_SHIFT (see body/exp.h), whose
/// low bits hold power + 254. Two halves of that are two biased exponents that add up to the power: one factor 2^power
/// would itself overflow or be flushed, two never do, and only the last product rounds.
VECTOR_FN vf v_scale_by_power_of_2(vf x, vf shifted, vf power) {
  (void)power;
  vu biased = (vu)shifted;
  vu half = biased >> 1;
  vf first = (vf)(half << 23);
  vf second = (vf)((biased - half) << 23);
  return (x * first) * second;
}

/// The lanes in pairs, by halves: (0+2)+(1+3). Wider sets fold the upper half on the lower one first.
VECTOR_FN float v_sum(vf x) {
  vf c = x + x.zwxy;
  return c.x + c.y;
}
VECTOR_FN float v_largest(vf x) {
  vf c = v_max(x, x.zwxy);
  return c.x > c.y ? c.x : c.y;
}

/// x - floor(x), in [0, 1), and the floor, for x <= 2^22; for v_times_power_of_2 alone. -inf gives 0 and a floor that
/// scales to 0, as everything below -126 may; NaN gives NaN.
VECTOR_FN vf v_fraction(vf x, vf *floor) {
  x = v_max(v_set(-127.0f), x);
  vf nearest = (x + 0x1.8p23f) - 0x1.8p23f;
  *floor = nearest > x ? nearest - 1.0f : nearest;
  return x - *floor;
}
/// x times 2 to this floor, for x in [1, 2]; results below 2^-126 may be 0.
VECTOR_FN vf v_times_power_of_2(vf x, vf floor) {
  // The low bits of this sum are those of the integer.
  vu exponent = (vu)(floor + (0x1.8p23f + 127.0f));
  return x * (vf)(exponent << 23);
}

/// The sum of each of four vectors; every one's lanes are added in the same order, whichever its place.
VECTOR_FN void v_sum_4(vf a, vf b, vf c, vf d, float *result) {
  vf ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  vf cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  v_store(result, __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
}
/// The largest lane of each of four vectors; any lane if one is a NaN.
VECTOR_FN void v_largest_4(vf a, vf b, vf c, vf d, float *result) {
  vf ab = v_max(__builtin_shufflevector(a, b, 0, 4, 1, 5), __builtin_shufflevector(a, b, 2, 6, 3, 7));
  vf cd = v_max(__builtin_shufflevector(c, d, 0, 4, 1, 5), __builtin_shufflevector(c, d, 2, 6, 3, 7));
  v_store(result, v_max(__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7)));
}
