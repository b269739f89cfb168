// Layer norm (Ba et al., 1607.06450) and RMS norm (Zhang and Sennrich, 1910.07467) of rows, forward and back.

/// The lanes of a vector that are in the row, and 0 for the others.
VECTOR_FN vf v_inside(vf x, size_t count) { return count == LANES ? x : v_select(v_first(count), x, v_set(0)); }

/// y = x + residual.
VECTOR_FN void add_row(const float *x, const float *residual, float *y, size_t n) {
#define STEP(i, count) v_put(y + (i), v_get(x + (i), (count)) + v_get(residual + (i), (count)), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

/// y = unit·weight + bias, where there are any, for a normalised vector at i.
VECTOR_FN vf v_affine(vf unit, const float *weight, const float *bias, size_t i, size_t count) {
  if (weight && bias) return v_fma(unit, v_get(weight + i, count), v_get(bias + i, count));
  if (weight) return unit * v_get(weight + i, count);
  if (bias) return unit + v_get(bias + i, count);
  return unit;
}

/// The mean as a float and what is missing to it, and the mean square of the differences from it.
///
/// A float's rounding error at a mean of 1e4 is a thousandth of a unit spread: so the mean has two parts. Differences
/// from an element of the row are exact where the spread is small beside the mean, and bound all errors by the spread.
/// Asks for n floats of `result` and `next` meanwhile, unless they are NULL.
VECTOR_FN void row_moments(
    const float *x, size_t n, const float *result, const float *next, float *mean, float *rest, float *variance) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
  vf pivot = v_set(x[0]);
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    a[k] += v_inside(v_get(x + (i), (count)) - pivot, (count));                                                        \
    v_ask(result ? result + (i) : 0, (k));                                                                             \
  } while (0)
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  *mean = x[0] + v_sum_of_accumulators(a) / (float)n;

  vf s[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
  for (size_t k = 0; k < ACCUMULATORS; k++) a[k] = v_set(0);
  pivot = v_set(*mean);
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    vf difference = v_inside(v_get(x + (i), (count)) - pivot, (count));                                                \
    a[k] += difference;                                                                                                \
    s[k] = v_fma(difference, difference, s[k]);                                                                        \
    v_ask(next ? next + (i) : 0, (k));                                                                                 \
  } while (0)
  // No more of them: two sums of four accumulators, and their operands, fill 16 registers.
  FOR_EACH_IN_TURN(4, n, STEP);
#undef STEP
  *rest = v_sum_of_accumulators(a) / (float)n;
  float square = v_sum_of_accumulators(s) / (float)n - *rest * *rest;
  // Rounding may take it below 0; a NaN is not below.
  *variance = square < 0 ? 0 : square;
}

static void layer_norm_(const attention_norm *norm) {
  size_t n = norm->n;
  bool is_asking = n <= LONGEST_AHEAD;
  const float *weight = norm->weight, *bias = norm->bias;
  for (size_t row = 0; row < norm->rows; row++) {
    const float *x = norm->x + row * n;
    float *y = norm->y + row * n;
    if (norm->residual) {
      float *sum = norm->sum + row * n;
      add_row(x, norm->residual + row * n, sum, n);
      x = sum;
    }
    float mean, rest, variance;
    row_moments(x, n, is_asking ? y : 0, row_after(norm->x, row, norm->rows, n), &mean, &rest, &variance);
    float factor = 1.0f / __builtin_sqrtf(variance + norm->epsilon);
    if (norm->statistics) {
      float *statistics = norm->statistics + row * ATTENTION_LAYER_NORM_STATISTICS;
      statistics[0] = mean;
      statistics[1] = rest;
      statistics[2] = factor;
    }
    vf means = v_set(mean), rests = v_set(rest), factors = v_set(factor);
#define STEP(i, count)                                                                                                 \
  v_put(                                                                                                               \
      y + (i), v_affine(((v_get(x + (i), (count)) - means) - rests) * factors, weight, bias, (i), (count)), (count))
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
}

static void rms_norm_(const attention_norm *norm) {
  size_t n = norm->n;
  const float *weight = norm->weight, *bias = norm->bias;
  for (size_t row = 0; row < norm->rows; row++) {
    const float *x = norm->x + row * n;
    float *y = norm->y + row * n;
    if (norm->residual) {
      float *sum = norm->sum + row * n;
      add_row(x, norm->residual + row * n, sum, n);
      x = sum;
    }
    const float *next = row_after(norm->x, row, norm->rows, n);
    float factor = 1.0f / __builtin_sqrtf(dot_asking(x, x, n, n <= LONGEST_AHEAD ? y : 0) / (float)n + norm->epsilon);
    if (norm->statistics) norm->statistics[row] = factor;
    vf factors = v_set(factor);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    v_put(y + (i), v_affine(v_get(x + (i), (count)) * factors, weight, bias, (i), (count)), (count));                  \
    v_ask(next ? next + (i) : 0, (i) / LANES);                                                                         \
  } while (0)
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
}

/// mean(g) and mean(g·u) of a row, where g = upstream·weight and u is the normalised row.
VECTOR_FN void gradient_means(
    const float *upstream, const float *x, const float *weight, vf mean, vf rest, vf factor, size_t n, float *of_g,
    float *of_gu) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
  vf b[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
  // Lanes behind the end have an upstream gradient of 0, and a finite u unless the row itself has none.
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    vf g = v_get(upstream + (i), (count));                                                                             \
    if (weight) g = g * v_get(weight + (i), (count));                                                                  \
    a[k] += g;                                                                                                         \
    b[k] = v_fma(g, ((v_get(x + (i), (count)) - mean) - rest) * factor, b[k]);                                         \
  } while (0)
  FOR_EACH_IN_TURN(4, n, STEP);
#undef STEP
  *of_g = v_sum_of_accumulators(a) / (float)n;
  *of_gu = v_sum_of_accumulators(b) / (float)n;
}

/// The way back through rows. With u the normalised row and g = upstream·weight, the gradient of x is
/// factor·(g − mean(g) − u·mean(g·u)), without mean(g) where the norm takes no mean away; that of the weight is
/// Σ upstream·u over the rows, and that of the bias Σ upstream.
VECTOR_FN void norm_gradient(const attention_norm_gradient *norm, bool is_centred) {
  size_t n = norm->n;
  const float *weight = norm->weight;
  float *of_weight = norm->of_weight, *of_bias = norm->of_bias;
  for (size_t row = 0; row < norm->rows; row++) {
    const float *upstream = norm->upstream + row * n;
    const float *x = norm->x ? norm->x + row * n : 0;
    const float *added = norm->added ? norm->added + row * n : 0;
    float *of_x = norm->of_x ? norm->of_x + row * n : 0;
    const float *s = norm->statistics + row * (is_centred ? ATTENTION_LAYER_NORM_STATISTICS : 1);
    vf mean = v_set(is_centred ? s[0] : 0), rest = v_set(is_centred ? s[1] : 0), factor = v_set(s[is_centred ? 2 : 0]);
    float of_g = 0, of_gu = 0;
    if (of_x) gradient_means(upstream, x, weight, mean, rest, factor, n, &of_g, &of_gu);
    vf shift = v_set(is_centred ? of_g : 0), slope = v_set(of_gu);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf g = v_get(upstream + (i), (count));                                                                             \
    if (of_bias) v_put(of_bias + (i), v_get(of_bias + (i), (count)) + g, (count));                                     \
    if (x) {                                                                                                           \
      vf unit = ((v_get(x + (i), (count)) - mean) - rest) * factor;                                                    \
      if (of_weight) v_put(of_weight + (i), v_fma(g, unit, v_get(of_weight + (i), (count))), (count));                 \
      if (weight) g = g * v_get(weight + (i), (count));                                                                \
      g = ((g - shift) - unit * slope) * factor;                                                                       \
      if (added) g = g + v_get(added + (i), (count));                                                                  \
      if (of_x) v_put(of_x + (i), g, (count));                                                                         \
    }                                                                                                                  \
  } while (0)
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
}

static void layer_norm_gradient_(const attention_norm_gradient *norm) { norm_gradient(norm, true); }
static void rms_norm_gradient_(const attention_norm_gradient *norm) { norm_gradient(norm, false); }

static void add_to_doubles_(const float *x, double *sums, size_t n) {
  for (size_t i = 0; i < n; i++) sums[i] += (double)x[i];
}
