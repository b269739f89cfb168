// Rows of probabilities and their logarithms: a piece of log-softmax, and the ways back.

static void subtract_both_(const float *x, float first, float second, float *y, size_t n) {
  vf firsts = v_set(first), seconds = v_set(second);
#define STEP(i, count) v_put(y + (i), (v_get(x + (i), (count)) - firsts) - seconds, (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static float sum_of_differences_(const float *x, float shift, size_t n) {
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
  vf shifts = v_set(shift);
#define STEP(k, i, count) a[k] += v_inside(v_get(x + (i), (count)) - shifts, (count))
  FOR_EACH_IN_TURN(ACCUMULATORS, n, STEP);
#undef STEP
  return v_sum_of_accumulators(a);
}

static void scale_and_shift_(const float *x, float factor, float shift, float *y, size_t n) {
  vf factors = v_set(factor), shifts = v_set(shift);
#define STEP(i, count) v_put(y + (i), v_fma(factors, v_get(x + (i), (count)), shifts), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static void softmax_gradient_(const float *p, const float *upstream, float *y, size_t n) {
  vf shifts = v_set(dot_(p, upstream, n));
#define STEP(i, count) v_put(y + (i), v_get(p + (i), (count)) * (v_get(upstream + (i), (count)) - shifts), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

/// e^x by the exponential of softmax_tile: x <= 0.
static void log_softmax_gradient_(const float *x, const float *upstream, float *y, size_t n) {
  vf sums = v_set(sum_(upstream, n));
#define STEP(i, count)                                                                                                 \
  v_put(y + (i), v_get(upstream + (i), (count)) - sums * v_weight(v_get(x + (i), (count))), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}
