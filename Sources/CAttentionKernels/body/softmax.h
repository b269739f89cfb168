// Maximum and sum of a row; exp.h has the third piece of a softmax, the shifted exponentials.

static float max_(const float *x, size_t n) {
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
  } while (0)
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  for (int k = 0; k < ACCUMULATORS / 2; k++) a[k] = v_max(a[k], a[k + ACCUMULATORS / 2]);
  float largest = v_largest(v_max(v_max(a[0], a[2]), v_max(a[1], a[3])));
  return v_any(v_or(nan[0], nan[1])) ? __builtin_nanf("") : largest;
}

static float sum_(const float *x, size_t n) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
#define STEP(k, i, count) a[k] += v_get(x + (i), (count))
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  return v_sum_of_accumulators(a);
}
