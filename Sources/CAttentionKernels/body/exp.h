// e^x, the core of softmax.
//
// x = k·ln 2 + r with |r| <= ln(2)/2; e^x = 2^k · e^r. The polynomial's own error is 3.1e-9, a twentieth of an ulp.

/// Adding it leaves the nearest integer k in the low bits, and k + 254 in the lowest nine (v_scale_by_power_of_2).
#define POWER_SHIFT (0x1.8p23f + 254.0f)

VECTOR_FN vf v_exp(vf x) {
  // Beyond these bounds the result is 0 or inf anyway, and k stays in range. The NaN is in the operand that v_min and
  // v_max return when unordered.
  x = v_max(v_set(-104.0f), v_min(v_set(89.0f), x));

  vf shifted = v_fma(x, v_set(0x1.715476p+0f), v_set(POWER_SHIFT));
  vf k = shifted - v_set(POWER_SHIFT);
  // ln 2 in two parts. The first has 9 bits, so k times it is exact with and without FMA.
  vf r = v_fma(k, v_set(-0x1.63p-1f), x);
  r = v_fma(k, v_set(0x1.bd0106p-13f), r);

  // e^r = 1 + r + r²·q(r); q is minimax for the relative error of the whole. The constant term is exact: e^0 = 1.
  vf q = v_set(0x1.6a23d0p-10f);
  q = v_fma(q, r, v_set(0x1.123a20p-7f));
  q = v_fma(q, r, v_set(0x1.5558f2p-5f));
  q = v_fma(q, r, v_set(0x1.555492p-3f));
  q = v_fma(q, r, v_set(0x1.fffffcp-2f));
  q = v_fma(q, r, v_set(1.0f));
  q = v_fma(q, r, v_set(1.0f));
  return v_scale_by_power_of_2(q, shifted, k);
}

static void exp_(const float *x, float *y, size_t n) {
#define STEP(i, count) v_put(y + (i), v_exp(v_get(x + (i), (count))), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}
