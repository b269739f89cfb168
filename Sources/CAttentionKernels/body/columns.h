// Batch norm (Ioffe and Szegedy, 1502.03167) of rows: statistics of columns, and what is done by them.

/// Differences from the first row and their squares, added up over a block of rows. The first row is one of those that
/// spread, so the differences are of the size of the spread, wherever the mean is.
static void column_moments_(const float *x, size_t rows, size_t n, float *sums, float *squares) {
  for (size_t row = 1; row < rows; row += 4) {
    size_t last = rows - row < 4 ? rows - row : 4;
    const float *p = x + row * n;
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf pivot = v_get(x + (i), (count));                                                                                \
    vf s = v_get(sums + (i), (count)), q = v_get(squares + (i), (count));                                              \
    for (size_t k = 0; k < last; k++) {                                                                                \
      vf difference = v_get(p + k * n + (i), (count)) - pivot;                                                         \
      s += difference;                                                                                                 \
      q = v_fma(difference, difference, q);                                                                            \
    }                                                                                                                  \
    v_put(sums + (i), s, (count));                                                                                     \
    v_put(squares + (i), q, (count));                                                                                  \
  } while (0)
    if (last == 4) {
      FOR_EACH_VECTOR(n, STEP);
    } else {
      FOR_EACH_VECTOR(n, STEP);
    }
#undef STEP
  }
}

static void add_moments_(const float *first, const float *sums, size_t rows, double *totals, size_t n) {
  for (size_t i = 0; i < n; i++) totals[i] += (double)rows * (double)first[i] + (double)sums[i];
}

static void add_squares_(
    const float *first, const float *sums, const float *squares, size_t rows, const double *means, double *totals,
    size_t n) {
  for (size_t i = 0; i < n; i++) {
    double distance = (double)first[i] - means[i];
    totals[i] += (double)squares[i] + distance * (2 * (double)sums[i] + (double)rows * distance);
  }
}

/// The normalised vector of a column.
VECTOR_FN vf v_column_unit(const attention_columns *columns, const float *x, size_t i, size_t count) {
  vf centred = v_get(x + i, count) - v_get(columns->mean + i, count);
  if (columns->rest) centred = centred - v_get(columns->rest + i, count);
  return centred * v_get(columns->factor + i, count);
}

static void normalise_columns_(const attention_columns *norm, const float *weight, const float *bias, float *y) {
  const attention_columns columns = *norm;
  size_t n = columns.n;
  for (size_t row = 0; row < columns.rows; row++) {
    const float *x = columns.x + row * n;
    float *into = y + row * n;
#define STEP(i, count)                                                                                                 \
  v_put(into + (i), v_affine(v_column_unit(&columns, x, (i), (count)), weight, bias, (i), (count)), (count))
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
}

static void column_gradient_sums_(
    const attention_columns *norm, const float *upstream, float *of_weight, float *of_bias) {
  const attention_columns columns = *norm;
  size_t n = columns.n;
  for (size_t row = 0; row < columns.rows; row++) {
    const float *x = columns.x + row * n;
    const float *up = upstream + row * n;
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf g = v_get(up + (i), (count));                                                                                   \
    v_put(of_bias + (i), v_get(of_bias + (i), (count)) + g, (count));                                                  \
    vf unit = v_column_unit(&columns, x, (i), (count));                                                                \
    v_put(of_weight + (i), v_fma(g, unit, v_get(of_weight + (i), (count))), (count));                                  \
  } while (0)
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
}

static void column_gradient_(
    const attention_columns *norm, const float *upstream, const float *shift, const float *slope, const float *scale,
    float *of_x) {
  const attention_columns columns = *norm;
  size_t n = columns.n;
  for (size_t row = 0; row < columns.rows; row++) {
    const float *x = columns.x + row * n;
    const float *up = upstream + row * n;
    float *into = of_x + row * n;
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vf g = v_get(up + (i), (count)) - v_get(shift + (i), (count));                                                     \
    g = g - v_column_unit(&columns, x, (i), (count)) * v_get(slope + (i), (count));                                    \
    v_put(into + (i), g * v_get(scale + (i), (count)), (count));                                                       \
  } while (0)
    FOR_EACH_VECTOR(n, STEP);
#undef STEP
  }
}
