// Masks and biases on rows of scores, and the look for values that a masked product must not see.

static void keep_allowed_(float *scores, const uint8_t *allowed, size_t n) {
  vf masked = v_set(-__builtin_inff());
#define STEP(i, count)                                                                                                 \
  v_put(scores + (i), v_select(v_nonzero_bytes(allowed + (i), (count)), v_get(scores + (i), (count)), masked), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

VECTOR_FN void fill_masked(float *scores, size_t n) {
  vf masked = v_set(-__builtin_inff());
#define STEP(i, count) v_put(scores + (i), masked, (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static void keep_intervals_(
    float *scores, size_t stride, size_t rows, size_t columns, ptrdiff_t start, const ptrdiff_t *lower,
    const ptrdiff_t *upper) {
  ptrdiff_t end = start + (ptrdiff_t)columns;
  for (size_t row = 0; row < rows; row++, scores += stride) {
    ptrdiff_t first = lower[row] < start ? start : lower[row] > end ? end : lower[row];
    ptrdiff_t last = upper[row] < first ? first : upper[row] > end ? end : upper[row];
    fill_masked(scores, (size_t)(first - start));
    fill_masked(scores + (last - start), (size_t)(end - last));
  }
}

static void add_bias_(float *scores, const float *bias, size_t n) {
  vf masked = v_set(-__builtin_inff());
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf b = v_get(bias + (i), (count));                                                                                 \
    /* A selection, since NaN + -inf is NaN. */                                                                        \
    v_put(scores + (i), v_select(v_equal(b, masked), masked, v_get(scores + (i), (count)) + b), (count));              \
  } while (0)
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static void add_distance_bias_(float *scores, float slope, int32_t first, size_t n) {
  vf slopes = v_set(-slope);
  // Integers up to 2^24 are exact as floats, so the distances are, too.
  vf from = v_iota() + v_set((float)first);
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf distance = v_abs(from + v_set((float)(i)));                                                                     \
    v_put(scores + (i), v_fma(slopes, distance, v_get(scores + (i), (count))), (count));                               \
  } while (0)
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}

static void add_bias_sum_(
    float *scores, const attention_bias *biases, size_t count, size_t n) {
  enum { CHUNK = 64 };
  double sums[CHUNK], largest = 0x1.fffffep127;
  // Plain loops: the compiler widens and vectorises them, and products of two floats are exact in float64.
  for (size_t start = 0; start < n; start += CHUNK) {
    size_t length = n - start < CHUNK ? n - start : CHUNK;
    uint32_t masked[CHUNK];
    for (size_t i = 0; i < CHUNK; i++) sums[i] = 0, masked[i] = 0;
    for (size_t j = 0; j < count; j++) {
      attention_bias bias = biases[j];
      if (!bias.values) {
        for (size_t i = 0; i < length; i++) {
          sums[i] -= (double)bias.slope * __builtin_fabs((double)(int32_t)(bias.first + (int32_t)(start + i)));
        }
      } else if (bias.stride == 0) {
        double value = *bias.values;
        uint32_t is_masked = value == -__builtin_inf();
        for (size_t i = 0; i < length; i++) sums[i] += value, masked[i] |= is_masked;
      } else {
        const float *values = bias.values + start;
        for (size_t i = 0; i < length; i++) {
          sums[i] += (double)values[i];
          masked[i] |= values[i] == -__builtin_inff();
        }
      }
    }
    for (size_t i = 0; i < length; i++) {
      double sum = sums[i], magnitude = __builtin_fabs(sum);
      // Finite biases have a finite sum: a mask of twice the lowest float is no -inf.
      double finite = sum > largest ? largest : sum < -largest ? -largest : sum;
      float bias = (float)(magnitude < __builtin_inf() ? finite : sum);
      scores[start + i] = masked[i] ? -__builtin_inff() : scores[start + i] + bias;
    }
  }
}

static bool all_finite_(const float *x, size_t n) {
  vm bad = v_none();
#define STEP(i, count) bad = v_or(bad, v_not_finite(v_get(x + (i), (count))))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
  return !v_any(bad);
}
