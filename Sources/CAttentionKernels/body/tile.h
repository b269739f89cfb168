// The softmax of a tile of scores while the keys go by (online softmax: Milakov and Gimelshein, 1805.02867), and what
// its accumulators need.

/// log2 e.
#define LOG2_E 0x1.715476p+0f

/// A row's reference follows its largest score only when that has grown by more than this: weights then stay below e^6,
/// and most rows never rescale their sums after the first keys.
#define REFERENCE_SLACK 6.0f

/// e^x for x <= 88 within 2e-7 of it, and 2^-24·|x|; 0 below 2^-126 or rounded there. e^0 = 1 and e^-inf = 0 exactly, NaN
/// gives NaN. Two thirds of the work of v_exp, which is exact down to the last subnormal.
VECTOR_FN vf v_weight(vf x) {
  vf floor;
  vf f = v_fraction(x * v_set(LOG2_E), &floor);
  // 2^f on [0, 1): minimax for the relative error, 8.2e-8, with an exact constant term.
  vf e = v_fma(v_set(0x1.e974fap-10f), f, v_set(0x1.277856p-7f));
  e = v_fma(e, f, v_set(0x1.c91ce6p-5f));
  e = v_fma(e, f, v_set(0x1.ebdb56p-3f));
  e = v_fma(e, f, v_set(0x1.62e4bap-1f));
  e = v_fma(e, f, v_set(1.0f));
  return v_times_power_of_2(e, floor);
}

/// The largest scores of `count` rows, 1 or 4, of whole vectors.
VECTOR_FN void largest_of_rows(const float *scores, size_t stride, size_t count, size_t columns, float *largest) {
  vf a[4], b[4];
#define EACH _Pragma("clang loop unroll(full)") for (size_t k = 0; k < count; k++)
  EACH a[k] = b[k] = v_set(-__builtin_inff());
  size_t i = 0;
  for (; i + 2 * LANES <= columns; i += 2 * LANES) {
    // The score comes second: with a NaN among them the outcome does not matter, since its weight is one.
    EACH a[k] = v_max(a[k], v_load(scores + k * stride + i));
    EACH b[k] = v_max(b[k], v_load(scores + k * stride + i + LANES));
  }
  if (i < columns) EACH a[k] = v_max(a[k], v_load(scores + k * stride + i));
  EACH a[k] = v_max(a[k], b[k]);
  v_largest_4(a[0], a[1 % count], a[2 % count], a[3 % count], largest);
}

/// scores = e^(score - shift) for `count` rows, 1 or 4, of whole vectors, and the sum of each. Vectors are added
/// in order, so that zeros before and behind a row's visible keys change nothing.
VECTOR_FN void weights_of_rows(
    float *scores, size_t stride, size_t count, size_t columns, const float *shift, float *sums) {
  vf total[4], shifts[4];
  EACH total[k] = v_set(0);
  EACH shifts[k] = v_set(shift[k]);
  for (size_t i = 0; i < columns; i += LANES) {
    vf e[4];
    EACH e[k] = v_weight(v_load(scores + k * stride + i) - shifts[k]);
    EACH v_store(scores + k * stride + i, e[k]);
    EACH total[k] += e[k];
  }
#undef EACH
  v_sum_4(total[0], total[1 % count], total[2 % count], total[3 % count], sums);
}

/// One step for `count` rows, 1 or 4; whether any of them has a factor other than 1.
VECTOR_FN bool softmax_rows(
    float *scores, size_t stride, size_t count, size_t columns, float *references, float *sums, float *factors) {
  float largest[4], shift[4], added[4];
  largest_of_rows(scores, stride, count, columns, largest);
  bool any = false;
  for (size_t k = 0; k < count; k++) {
    float reference = references[k], wanted = largest[k];
    factors[k] = 1;
    if (wanted > reference + REFERENCE_SLACK) {
      // 0 for the first keys that a row sees: there is nothing yet to rescale.
      factors[k] = reference == -__builtin_inff() ? 0 : v_weight(v_set(reference - wanted))[0];
      references[k] = reference = wanted;
      any = true;
    }
    // Nothing seen yet: every score is -inf (or a NaN), and -inf less anything finite gives a weight of 0.
    shift[k] = reference == -__builtin_inff() ? 0 : reference;
  }
  weights_of_rows(scores, stride, count, columns, shift, added);
  for (size_t k = 0; k < count; k++) sums[k] = sums[k] * factors[k] + added[k];
  return any;
}

static bool softmax_tile_(
    float *scores, size_t stride, size_t rows, size_t columns, float *references, float *sums, float *factors) {
  bool any = false;
  size_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    any |= softmax_rows(scores + row * stride, stride, 4, columns, references + row, sums + row, factors + row);
  }
  for (; row < rows; row++) {
    any |= softmax_rows(scores + row * stride, stride, 1, columns, references + row, sums + row, factors + row);
  }
  return any;
}

static void scale_rows_(float *x, size_t stride, size_t rows, size_t columns, const float *factors) {
  for (size_t row = 0; row < rows; row++) {
    if (factors[row] != 1) scale_(x + row * stride, factors[row], x + row * stride, columns);
  }
}

static void merge_(float *y, float of_y, const float *x, float of_x, size_t n) {
  vf ys = v_set(of_y), xs = v_set(of_x);
#define STEP(i, count) v_put(y + (i), v_fma(ys, v_get(y + (i), (count)), xs * v_get(x + (i), (count))), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static bool finish_rows_(
    const float *x, size_t x_stride, size_t rows, const float *references, const float *sums, float *y, size_t y_stride,
    size_t n) {
  vm bad = v_none();
  for (size_t row = 0; row < rows; row++, x += x_stride, y += y_stride) {
    vf factors = v_set(1 / sums[row]);
    bad = v_or(bad, v_not_finite(v_set(references[row])));
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf sum = v_get(x + (i), (count));                                                                                  \
    bad = v_or(bad, v_not_finite(sum));                                                                                \
    /* Not fused: a product that underflows from below would stay -0. */                                               \
    vf quotient = factors * sum;                                                                                       \
    v_put(y + (i), quotient + v_set(0), (count));                                                                      \
  } while (0)
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
  return !v_any(bad);
}

static void weights_row_(const float *x, float reference, float factor, float *y, size_t n) {
  vf shift = v_set(reference), factors = v_set(factor);
#define STEP(i, count) v_put(y + (i), factors * v_weight(v_get(x + (i), (count)) - shift), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static float weight_(float x) { return v_weight(v_set(x))[0]; }

static unsigned classify_bytes_(const uint8_t *x, size_t n) {
  // Plain loops: the compiler makes byte vectors of them.
  uint8_t any = 0, least = 255;
  for (size_t i = 0; i < n; i++) {
    any |= x[i];
    least = x[i] < least ? x[i] : least;
  }
  return (any != 0 ? 1u : 0u) | (least == 0 ? 2u : 0u);
}

static void score_gradients_(
    const float *weights, float *gradients, size_t stride, size_t rows, size_t columns, const float *means) {
  for (size_t row = 0; row < rows; row++, weights += stride, gradients += stride) {
    vf mean = v_set(means[row]);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf weight = v_get(weights + (i), (count));                                                                         \
    /* A selection: behind a mask, what is no number is multiplied by nothing. */                                      \
    vf slope = weight * (v_get(gradients + (i), (count)) - mean);                                                      \
    v_put(gradients + (i), v_select(v_equal(weight, v_set(0)), v_set(0), slope), (count));                             \
  } while (0)
    FOR_EACH_VECTOR(columns, STEP);
#undef STEP
  }
}

static void softcap_gradients_(const float *capped, float cap, float *gradients, size_t n) {
  vf inverse = v_set(1.0f / cap);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf share = v_get(capped + (i), (count)) * inverse;                                                                 \
    /* 1 - t² as a product: near the cap a difference of squares would be of rounding alone. */                        \
    vf slope = (v_set(1.0f) - share) * (v_set(1.0f) + share);                                                          \
    vf gradient = v_get(gradients + (i), (count));                                                                     \
    v_put(gradients + (i), v_select(v_equal(gradient, v_set(0)), v_set(0), gradient * slope), (count));                \
  } while (0)
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}
