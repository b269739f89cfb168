// e^x, the core of softmax.
//
// x = k·ln 2 + r with |r| <= ln(2)/2; e^x = 2^k · e^r. The polynomial's own error is 3.1e-9, a twentieth of an ulp.

/// Vectors that are worked on side by side.
#define EXP_WIDTH 4

/// Adding it leaves the nearest integer k in the low bits, and k + 254 in the lowest nine (v_scale_by_power_of_2).
#define POWER_SHIFT (0x1.8p23f + 254.0f)

/// x[k] = e^x[k] for `width` vectors, a constant. Step by step over all of them: one vector is a chain of twenty
/// dependent operations, and the processor does not look far enough ahead to find the next one by itself.
VECTOR_FN void v_exp_all(vf *x, size_t width) {
#define EACH _Pragma("clang loop unroll(full)") for (size_t k = 0; k < width; k++)
  vf shifted[EXP_WIDTH], power[EXP_WIDTH], e[EXP_WIDTH];

  // Beyond these bounds the result is 0 or inf anyway, and the power stays in range. A NaN is in the operand that v_min
  // and v_max return when unordered.
  EACH x[k] = v_max(v_set(-104.0f), v_min(v_set(89.0f), x[k]));

  EACH shifted[k] = v_fma(x[k], v_set(0x1.715476p+0f), v_set(POWER_SHIFT));
  EACH power[k] = shifted[k] - v_set(POWER_SHIFT);
  // ln 2 in two parts. The first has 9 bits, so the power times it is exact with and without FMA.
  EACH x[k] = v_fma(power[k], v_set(-0x1.63p-1f), x[k]);
  EACH x[k] = v_fma(power[k], v_set(0x1.bd0106p-13f), x[k]);

  // e^r = 1 + r + r²·q(r); q is minimax for the relative error of the whole. The constant term is exact: e^0 = 1.
  EACH e[k] = v_fma(v_set(0x1.6a23d0p-10f), x[k], v_set(0x1.123a20p-7f));
  EACH e[k] = v_fma(e[k], x[k], v_set(0x1.5558f2p-5f));
  EACH e[k] = v_fma(e[k], x[k], v_set(0x1.555492p-3f));
  EACH e[k] = v_fma(e[k], x[k], v_set(0x1.fffffcp-2f));
  EACH e[k] = v_fma(e[k], x[k], v_set(1.0f));
  EACH e[k] = v_fma(e[k], x[k], v_set(1.0f));
  EACH x[k] = v_scale_by_power_of_2(e[k], shifted[k], power[k]);
#undef EACH
}

VECTOR_FN vf v_exp(vf x) {
  v_exp_all(&x, 1);
  return x;
}

/// y[i] = e^(x[i] - shift), unless y is NULL, and its sum, in the order: turns of EXP_WIDTH vectors, each summed by
/// pairs, then the vectors left over, then the tail. x - 0 is x, -0 included, so that e^x is the same code.
/// Asks for n floats of `ahead` meanwhile, unless it is NULL.
VECTOR_FN vf v_exp_rows(const float *x, float shift, float *y, size_t n, const float *ahead) {
  vf shifts = v_set(shift);
  vf total = v_set(0);
  size_t i = 0;
  for (; i + EXP_WIDTH * LANES <= n; i += EXP_WIDTH * LANES) {
    vf e[EXP_WIDTH];
    for (size_t k = 0; k < EXP_WIDTH; k++) e[k] = v_load(x + i + k * LANES) - shifts;
    v_exp_all(e, EXP_WIDTH);
    for (size_t k = 0; k < EXP_WIDTH && y; k++) v_store(y + i + k * LANES, e[k]);
    for (size_t k = 0; k < EXP_WIDTH && ahead; k++) v_ask(ahead + i + k * LANES, k);
    total += (e[0] + e[1]) + (e[2] + e[3]);
  }
  for (; i + LANES <= n; i += LANES) {
    vf e = v_exp(v_load(x + i) - shifts);
    if (y) v_store(y + i, e);
    total += e;
  }
  if (i < n) {
    vf e = v_exp(v_load_first(x + i, n - i) - shifts);
    if (y) v_store_first(y + i, e, n - i);
    total += v_select(v_first(n - i), e, v_set(0));
  }
  return total;
}

static void exp_(const float *x, float *y, size_t n) { (void)v_exp_rows(x, 0, y, n, 0); }

static float exp_sum_(const float *x, float shift, float *y, size_t n) { return v_sum(v_exp_rows(x, shift, y, n, 0)); }

static float sum_of_exp_(const float *x, float shift, size_t n) { return v_sum(v_exp_rows(x, shift, 0, n, 0)); }
