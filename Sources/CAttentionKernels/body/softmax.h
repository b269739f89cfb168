// Maximum and sum of a row; exp.h has the third piece of a softmax, the shifted exponentials. And the softmax of rows.

/// Asks for n floats of `ahead` meanwhile, unless it is NULL.
VECTOR_FN float max_asking(const float *x, size_t n, const float *ahead) {
  vf lowest = v_set(-__builtin_inff());
  vf a[ACCUMULATORS] = {lowest, lowest, lowest, lowest, lowest, lowest, lowest, lowest};
  // The processor's maximum drops a NaN that is in one of its operands, so NaNs are looked for apart. Two accumulators:
  // more would not fit 16 registers.
  vm nan[2] = {v_none(), v_none()};
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    vf v = v_get(x + (i), (count));                                                                                    \
    if ((count) != LANES) v = v_select(v_first(count), v, lowest);                                                     \
    a[k] = v_max(a[k], v);                                                                                             \
    nan[(k) % 2] = v_or(nan[(k) % 2], v_unordered(v, v));                                                              \
    v_ask(ahead ? ahead + (i) : 0, (k));                                                                               \
  } while (0)
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  for (int k = 0; k < ACCUMULATORS / 2; k++) a[k] = v_max(a[k], a[k + ACCUMULATORS / 2]);
  float largest = v_largest(v_max(v_max(a[0], a[2]), v_max(a[1], a[3])));
  return v_any(v_or(nan[0], nan[1])) ? __builtin_nanf("") : largest;
}

static float max_(const float *x, size_t n) { return max_asking(x, n, 0); }

static float sum_(const float *x, size_t n) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
#define STEP(k, i, count) a[k] += v_get(x + (i), (count))
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  return v_sum_of_accumulators(a);
}

/// Each row's bits are those of max_, exp_sum_ and scale_ one after the other.
static void softmax_(const float *x, float *y, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, x += n, y += n) {
    float largest = max_asking(x, n, n <= LONGEST_AHEAD ? y : 0);
    // All -inf, or a NaN or an infinity in it.
    if (!__builtin_isfinite(largest)) {
      for (size_t i = 0; i < n; i++) y[i] = __builtin_nanf("");
      continue;
    }
    float sum = v_sum(v_exp_rows(x, largest, y, n, row_after(x, 0, rows - row, n)));
    scale_(y, 1.0f / sum, y, n);
  }
}
