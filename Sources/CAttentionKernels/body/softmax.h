// The pieces of a softmax over one row: its maximum, the shifted exponentials and their sum.

static float max_(const float *x, size_t n) {
  vf lowest = v_set(-__builtin_inff());
  vf a[ACCUMULATORS] = {lowest, lowest, lowest, lowest, lowest, lowest, lowest, lowest};
  // The processor's maximum drops a NaN from one of its operands, so NaNs are looked for apart.
  vm nan[ACCUMULATORS] = {v_none(), v_none(), v_none(), v_none(), v_none(), v_none(), v_none(), v_none()};
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    vf v = v_get(x + (i), (count));                                                                                    \
    if ((count) != LANES) v = v_select(v_first(count), v, lowest);                                                     \
    a[k] = v_max(a[k], v);                                                                                             \
    nan[k] = v_or(nan[k], v_unordered(v, v));                                                                          \
  } while (0)
  FOR_EACH_ACCUMULATOR(n, STEP);
#undef STEP
  for (int width = ACCUMULATORS / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; k++) {
      a[k] = v_max(a[k], a[k + width]);
      nan[k] = v_or(nan[k], nan[k + width]);
    }
  }
  return v_any(nan[0]) ? __builtin_nanf("") : v_largest(a[0]);
}

static float exp_sum_(const float *x, float shift, float *y, size_t n) {
  vf shifts = v_set(shift);
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    vf e = v_exp(v_get(x + (i), (count)) - shifts);                                                                    \
    v_put(y + (i), e, (count));                                                                                        \
    if ((count) != LANES) e = v_select(v_first(count), e, v_set(0));                                                   \
    a[k] += e;                                                                                                         \
  } while (0)
  FOR_EACH_ACCUMULATOR(n, STEP);
#undef STEP
  return v_sum_of_accumulators(a);
}

static float sum_(const float *x, size_t n) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
#define STEP(k, i, count) a[k] += v_get(x + (i), (count))
  FOR_EACH_ACCUMULATOR(n, STEP);
#undef STEP
  return v_sum_of_accumulators(a);
}
