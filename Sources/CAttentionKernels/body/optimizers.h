// Steps of optimizers: one pass over a parameter, its gradient and what is kept of the steps before.

/// m = m + share·(g − m), from whichever end is nearer, as PyTorch's lerp: exact at shares of 0 and 1.
VECTOR_FN vf v_lerp(vf m, vf g, float share) {
  vf difference = g - m;
  if (share < 0.5f) return v_fma(v_set(share), difference, m);
  return g - difference * v_set(1.0f - share);
}

static void adam_(
    const attention_adam_step *step, const float *gradient, const float *from, float *to, float *mean, float *square,
    size_t n) {
  const attention_adam_step s = *step;
  vf factor = v_set(s.gradient_factor), decay = v_set(s.gradient_decay), keep = v_set(s.keep);
  vf square_keep = v_set(s.square_keep), square_share = v_set(s.square_share);
  vf correction = v_set(s.correction), epsilon = v_set(s.epsilon), rate = v_set(-s.rate);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf p = v_get(from + (i), (count));                                                                                 \
    vf g = v_fma(decay, p, factor * v_get(gradient + (i), (count)));                                                   \
    vf m = v_lerp(v_get(mean + (i), (count)), g, s.mean_share);                                                        \
    vf v = v_fma(square_share * g, g, square_keep * v_get(square + (i), (count)));                                     \
    v_put(mean + (i), m, (count));                                                                                     \
    v_put(square + (i), v, (count));                                                                                   \
    v_put(to + (i), keep * p + (rate * m) / (v_sqrt(v) / correction + epsilon), (count));                              \
  } while (0)
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static void sgd_(
    const attention_sgd_step *step, const float *gradient, const float *from, float *to, float *momentum, size_t n) {
  const attention_sgd_step s = *step;
  vf factor = v_set(s.gradient_factor), decay = v_set(s.gradient_decay), rate = v_set(-s.rate);
  vf keep = v_set(s.momentum), share = v_set(s.gradient_share);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf p = v_get(from + (i), (count));                                                                                 \
    vf g = v_fma(decay, p, factor * v_get(gradient + (i), (count)));                                                   \
    if (momentum) {                                                                                                    \
      vf m = s.is_first ? g : v_fma(share, g, keep * v_get(momentum + (i), (count)));                                  \
      v_put(momentum + (i), m, (count));                                                                               \
      g = s.is_nesterov ? v_fma(keep, m, g) : m;                                                                       \
    }                                                                                                                  \
    v_put(to + (i), v_fma(rate, g, p), (count));                                                                       \
  } while (0)
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

/// As many doubles as a vector has floats.
typedef double vd __attribute__((vector_size(LANES * sizeof(double))));

/// A product of two floats is exact in a double, and neither overflows nor vanishes there.
static double sum_of_squares_(const float *x, size_t n) {
  vd a[4] = {{0}, {0}, {0}, {0}};
#define STEP(k, i, count)                                                                                              \
  do {                                                                                                                 \
    vd v = __builtin_convertvector(v_get(x + (i), (count)), vd);                                                       \
    a[k] += v * v;                                                                                                     \
  } while (0)
  FOR_EACH_IN_TURN(4, n, STEP);
#undef STEP
  vd all = (a[0] + a[2]) + (a[1] + a[3]);
  double sum = 0;
  for (size_t i = 0; i < LANES; i++) sum += all[i];
  return sum;
}
