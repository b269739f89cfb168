// Plain arithmetic on rows.

static void scale_(const float *x, float factor, float *y, size_t n) {
  vf factors = v_set(factor);
#define STEP(i, count) v_put(y + (i), factors * v_get(x + (i), (count)), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static void axpy_(float factor, const float *x, float *y, size_t n) {
  vf factors = v_set(factor);
#define STEP(i, count) v_put(y + (i), v_fma(factors, v_get(x + (i), (count)), v_get(y + (i), (count))), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

/// Asks for n floats behind `ahead` meanwhile, unless it is NULL.
VECTOR_FN float dot_asking(const float *x, const float *y, size_t n, const float *ahead) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    a[k] = v_fma(v_get(x + (i), (count)), v_get(y + (i), (count)), a[k]);                                              \
    v_ask(ahead ? ahead + (i) : 0, (k));                                                                               \
  } while (0)
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  return v_sum_of_accumulators(a);
}

static float dot_(const float *x, const float *y, size_t n) { return dot_asking(x, y, n, 0); }
