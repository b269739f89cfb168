// Activations and their slopes. Each takes `width` vectors, a constant, side by side as in v_exp_all.

/// 1 / (1 + e^-x) for each x, and what it lacks to 1. Both keep their relative precision in their tails: the larger one
/// is 1 / (1 + e^-|x|), the smaller one e^-|x| / (1 + e^-|x|).
VECTOR_FN void v_logistic_all(const vf *x, vf *share, vf *rest, size_t width) {
  vf e[EXP_WIDTH];
#define EACH _Pragma("clang loop unroll(full)") for (size_t k = 0; k < width; k++)
  EACH e[k] = v_set(0) - v_abs(x[k]);
  v_exp_all(e, width);
  EACH {
    vf larger = v_set(1.0f) / (v_set(1.0f) + e[k]);
    vf smaller = larger * e[k];
    vm negative = v_less(x[k], v_set(0));
    share[k] = v_select(negative, smaller, larger);
    rest[k] = v_select(negative, larger, smaller);
  }
}

/// Beyond it, either way, a normal variate's density is 0 in float32: x as far as factors of the density go, so that an
/// infinity gives a limit and no NaN. A NaN stays.
VECTOR_FN vf v_within(vf x, float bound) { return v_max(v_set(-bound), v_min(v_set(bound), x)); }

/// The normal distribution: its share below x, and e^(-x²/2). For |x| <= 14.5.
///
/// The share below -a is e^(-a²/2)·r(a), and r is a polynomial in 1 / (1 + a/4), minimax for the relative error of the
/// whole, 1.7e-8: the lower tail keeps its digits.
VECTOR_FN void v_normal_all(const vf *x, vf *share, vf *density, size_t width) {
  vf low[EXP_WIDTH];
  EACH {
    // x = h + l, h with so few digits that its square is exact: x² = h² + (x + h)·l.
    vf high = (x[k] + v_set(0x1.8p15f)) - v_set(0x1.8p15f);
    low[k] = (x[k] + high) * (x[k] - high) * v_set(-0.5f);
    density[k] = high * high * v_set(-0.5f);
  }
  v_exp_all(density, width);
  EACH {
    // e^l, |l| < 0.03.
    vf w = v_fma(v_set(0x1.555556p-5f), low[k], v_set(0x1.555556p-3f));
    w = v_fma(v_fma(w, low[k], v_set(0.5f)), low[k], v_set(1.0f));
    density[k] = v_fma(density[k] * low[k], w, density[k]);
    vf t = v_set(1.0f) / v_fma(v_abs(x[k]), v_set(0.25f), v_set(1.0f));
    vf r = v_fma(v_set(0x1.11d2f2p-5f), t, v_set(-0x1.8c0a68p-3f));
    r = v_fma(r, t, v_set(0x1.8dd0a0p-2f));
    r = v_fma(r, t, v_set(-0x1.4cab38p-2f));
    r = v_fma(r, t, v_set(0x1.3088dcp-2f));
    r = v_fma(r, t, v_set(-0x1.100934p-6f));
    r = v_fma(r, t, v_set(0x1.ec9c82p-4f));
    r = v_fma(r, t, v_set(0x1.858676p-4f));
    r = v_fma(r, t, v_set(0x1.9a6670p-4f));
    r = v_fma(r, t, v_set(-0x1.4d1a5ap-16f));
    vf tail = density[k] * r;
    share[k] = v_select(v_less(x[k], v_set(0)), tail, v_set(1.0f) - tail);
  }
}

VECTOR_FN void v_relu_all(vf *x, size_t width) { EACH x[k] = v_max(v_set(0), x[k]); }
VECTOR_FN void v_relu_slope_all(vf *x, size_t width) {
  // A NaN is neither: it passes on what comes, as PyTorch does.
  EACH x[k] = v_select(v_or(v_less(x[k], v_set(0)), v_equal(x[k], v_set(0))), v_set(0), v_set(1.0f));
}

VECTOR_FN void v_gelu_all(vf *x, size_t width) {
  vf within[EXP_WIDTH], share[EXP_WIDTH], density[EXP_WIDTH];
  EACH within[k] = v_within(x[k], 14.5f);
  v_normal_all(within, share, density, width);
  EACH x[k] = v_select(v_less(x[k], v_set(0)), within[k], x[k]) * share[k];
}
VECTOR_FN void v_gelu_slope_all(vf *x, size_t width) {
  vf share[EXP_WIDTH], density[EXP_WIDTH];
  EACH x[k] = v_within(x[k], 14.5f);
  v_normal_all(x, share, density, width);
  EACH x[k] = v_fma(x[k] * v_set(0x1.988454p-2f), density[k], share[k]);
}

/// Twice √(2/π)·(x + 0.044715·x³).
VECTOR_FN vf v_gelu_tanh_argument(vf x) {
  return x * v_fma(x * x, v_set(1.59576912160573f * 0.044715f), v_set(1.59576912160573f));
}
VECTOR_FN void v_gelu_tanh_all(vf *x, size_t width) {
  vf within[EXP_WIDTH], argument[EXP_WIDTH], share[EXP_WIDTH], rest[EXP_WIDTH];
  EACH {
    within[k] = v_within(x[k], 14.5f);
    argument[k] = v_gelu_tanh_argument(within[k]);
  }
  v_logistic_all(argument, share, rest, width);
  EACH x[k] = v_select(v_less(x[k], v_set(0)), within[k], x[k]) * share[k];
}
VECTOR_FN void v_gelu_tanh_slope_all(vf *x, size_t width) {
  vf argument[EXP_WIDTH], share[EXP_WIDTH], rest[EXP_WIDTH];
  EACH {
    x[k] = v_within(x[k], 14.5f);
    argument[k] = v_gelu_tanh_argument(x[k]);
  }
  v_logistic_all(argument, share, rest, width);
  EACH {
    vf slope = v_fma(x[k] * x[k], v_set(3 * 1.59576912160573f * 0.044715f), v_set(1.59576912160573f));
    x[k] = v_fma(x[k] * slope, share[k] * rest[k], share[k]);
  }
}

VECTOR_FN void v_silu_all(vf *x, size_t width) {
  vf share[EXP_WIDTH], rest[EXP_WIDTH];
  v_logistic_all(x, share, rest, width);
  EACH x[k] = v_max(v_set(-128.0f), x[k]) * share[k];
}
VECTOR_FN void v_silu_slope_all(vf *x, size_t width) {
  vf share[EXP_WIDTH], rest[EXP_WIDTH];
  EACH x[k] = v_within(x[k], 128.0f);
  v_logistic_all(x, share, rest, width);
  EACH x[k] = share[k] * v_fma(x[k], rest[k], v_set(1.0f));
}

VECTOR_FN void v_tanh_all(vf *x, size_t width) { v_softcap_all(x, width, v_set(1.0f), v_set(1.0f)); }
VECTOR_FN void v_tanh_slope_all(vf *x, size_t width) {
  // 1 - tanh²(x) = 4·s·(1 - s) of the logistic function at 2x.
  vf share[EXP_WIDTH], rest[EXP_WIDTH];
  EACH x[k] = x[k] + x[k];
  v_logistic_all(x, share, rest, width);
  EACH x[k] = v_set(4.0f) * share[k] * rest[k];
}

VECTOR_FN void v_sigmoid_all(vf *x, size_t width) {
  vf share[EXP_WIDTH], rest[EXP_WIDTH];
  v_logistic_all(x, share, rest, width);
  EACH x[k] = share[k];
}
VECTOR_FN void v_sigmoid_slope_all(vf *x, size_t width) {
  vf share[EXP_WIDTH], rest[EXP_WIDTH];
  v_logistic_all(x, share, rest, width);
  EACH x[k] = share[k] * rest[k];
}
VECTOR_FN void v_nothing_all(vf *x, size_t width) {
  (void)x;
  (void)width;
}
#undef EACH

/// y = f(x + bias), and x + bias to `sums` if it is not NULL. Without a bias, x itself.
#define ACTIVATION(name, function)                                                                                     \
  static void name(const float *x, const float *bias, float *sums, float *y, size_t n) {                               \
    size_t i = 0;                                                                                                      \
    for (; i + EXP_WIDTH * LANES <= n; i += EXP_WIDTH * LANES) {                                                       \
      vf v[EXP_WIDTH];                                                                                                 \
      for (size_t k = 0; k < EXP_WIDTH; k++) {                                                                         \
        v[k] = v_load(x + i + k * LANES);                                                                              \
        if (bias) v[k] += v_load(bias + i + k * LANES);                                                                \
        if (sums) v_store(sums + i + k * LANES, v[k]);                                                                 \
      }                                                                                                                \
      function(v, EXP_WIDTH);                                                                                          \
      for (size_t k = 0; k < EXP_WIDTH; k++) v_store(y + i + k * LANES, v[k]);                                         \
    }                                                                                                                  \
    for (; i < n; i += LANES) {                                                                                        \
      size_t count = n - i < LANES ? n - i : LANES;                                                                    \
      vf v = v_get(x + i, count);                                                                                      \
      if (bias) v += v_get(bias + i, count);                                                                           \
      if (sums) v_put(sums + i, v, count);                                                                             \
      function(&v, 1);                                                                                                 \
      v_put(y + i, v, count);                                                                                          \
    }                                                                                                                  \
  }

/// y = upstream · f'(x).
#define ACTIVATION_SLOPE(name, function)                                                                               \
  static void name(const float *x, const float *upstream, float *y, size_t n) {                                        \
    size_t i = 0;                                                                                                      \
    for (; i + EXP_WIDTH * LANES <= n; i += EXP_WIDTH * LANES) {                                                       \
      vf v[EXP_WIDTH];                                                                                                 \
      for (size_t k = 0; k < EXP_WIDTH; k++) v[k] = v_load(x + i + k * LANES);                                         \
      function(v, EXP_WIDTH);                                                                                          \
      for (size_t k = 0; k < EXP_WIDTH; k++) {                                                                         \
        v_store(y + i + k * LANES, v[k] * v_load(upstream + i + k * LANES));                                           \
      }                                                                                                                \
    }                                                                                                                  \
    for (; i < n; i += LANES) {                                                                                        \
      size_t count = n - i < LANES ? n - i : LANES;                                                                    \
      vf v = v_get(x + i, count);                                                                                      \
      function(&v, 1);                                                                                                 \
      v_put(y + i, v * v_get(upstream + i, count), count);                                                             \
    }                                                                                                                  \
  }

ACTIVATION(identity_, v_nothing_all)
ACTIVATION(relu_, v_relu_all)
ACTIVATION(gelu_, v_gelu_all)
ACTIVATION(gelu_tanh_, v_gelu_tanh_all)
ACTIVATION(silu_, v_silu_all)
ACTIVATION(tanh_, v_tanh_all)
ACTIVATION(sigmoid_, v_sigmoid_all)
ACTIVATION_SLOPE(relu_slope_, v_relu_slope_all)
ACTIVATION_SLOPE(gelu_slope_, v_gelu_slope_all)
ACTIVATION_SLOPE(gelu_tanh_slope_, v_gelu_tanh_slope_all)
ACTIVATION_SLOPE(silu_slope_, v_silu_slope_all)
ACTIVATION_SLOPE(tanh_slope_, v_tanh_slope_all)
ACTIVATION_SLOPE(sigmoid_slope_, v_sigmoid_slope_all)

static void activate_(
    attention_activation activation, const float *x, const float *bias, float *sums, float *y, size_t n) {
  switch (activation) {
  case ATTENTION_IDENTITY: return identity_(x, bias, sums, y, n);
  case ATTENTION_RELU: return relu_(x, bias, sums, y, n);
  case ATTENTION_GELU: return gelu_(x, bias, sums, y, n);
  case ATTENTION_GELU_TANH: return gelu_tanh_(x, bias, sums, y, n);
  case ATTENTION_SILU: return silu_(x, bias, sums, y, n);
  case ATTENTION_TANH: return tanh_(x, bias, sums, y, n);
  case ATTENTION_SIGMOID: return sigmoid_(x, bias, sums, y, n);
  }
}

static void activate_rows_(attention_activation activation, float *x, size_t stride, const float *bias, float *sums,
                           size_t sums_stride, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, x += stride) {
    activate_(activation, x, bias, sums ? sums + row * sums_stride : 0, x, n);
  }
}

static void activation_gradient_(
    attention_activation activation, const float *x, const float *upstream, float *y, size_t n) {
  switch (activation) {
  case ATTENTION_IDENTITY:
    if (y != upstream) memcpy(y, upstream, n * sizeof *y);
    return;
  case ATTENTION_RELU: return relu_slope_(x, upstream, y, n);
  case ATTENTION_GELU: return gelu_slope_(x, upstream, y, n);
  case ATTENTION_GELU_TANH: return gelu_tanh_slope_(x, upstream, y, n);
  case ATTENTION_SILU: return silu_slope_(x, upstream, y, n);
  case ATTENTION_TANH: return tanh_slope_(x, upstream, y, n);
  case ATTENTION_SIGMOID: return sigmoid_slope_(x, upstream, y, n);
  }
}
