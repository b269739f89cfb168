// Products of a few rows with a matrix in rows, which streams past once.

/// `width` rows (1 or 2) with `depth` rows of the matrix (at most 4): constants.
VECTOR_FN void few_rows_block(const float *left, size_t left_stride, const float *right, size_t right_stride,
                              float *result, size_t result_stride, size_t columns, bool adding, size_t width,
                              size_t depth, bool fetching) {
  vf x[2][4];
#define EACH_ROW _Pragma("clang loop unroll(full)") for (size_t r = 0; r < width; r++)
#define EACH_DEPTH _Pragma("clang loop unroll(full)") for (size_t k = 0; k < depth; k++)
  EACH_ROW EACH_DEPTH x[r][k] = v_set(left[r * left_stride + k]);
  for (size_t i = 0; i < columns; i += LANES) {
    size_t count = columns - i < LANES ? columns - i : LANES;
    vf sums[2], w[4];
    EACH_ROW sums[r] = adding ? v_get(result + r * result_stride + i, count) : v_set(0);
    EACH_DEPTH {
      w[k] = v_get(right + k * right_stride + i, count);
      // What comes next lies a whole row further on, where the processor does not look by itself.
      if (fetching) __builtin_prefetch(right + (depth + k) * right_stride + i);
    }
    EACH_DEPTH EACH_ROW sums[r] = v_fma(x[r][k], w[k], sums[r]);
    EACH_ROW v_put(result + r * result_stride + i, sums[r], count);
  }
#undef EACH_ROW
#undef EACH_DEPTH
}

static void few_rows_product_(const float *left, size_t left_stride, size_t rows, size_t inner, const float *right,
                              size_t right_stride, float *result, size_t result_stride, size_t columns, bool adding) {
  for (size_t k = 0; k < inner;) {
    size_t depth = inner - k < 4 ? 1 : 4;
    bool more = adding || k > 0;
    const float *matrix = right + k * right_stride;
    // The first rows bring the matrix's into the nearest cache, the others find them there.
    for (size_t row = 0; row < rows;) {
      size_t width = rows - row < 2 ? 1 : 2;
      const float *x = left + row * left_stride + k;
      float *y = result + row * result_stride;
      bool fetching = row == 0 && k + 2 * depth <= inner;
#define BLOCK(w, d, f)                                                                                                 \
  if (width == w && depth == d && fetching == f)                                                                       \
  few_rows_block(x, left_stride, matrix, right_stride, y, result_stride, columns, more, w, d, f)
      BLOCK(1, 1, false);
      BLOCK(1, 1, true);
      BLOCK(1, 4, false);
      BLOCK(1, 4, true);
      BLOCK(2, 1, false);
      BLOCK(2, 1, true);
      BLOCK(2, 4, false);
      BLOCK(2, 4, true);
#undef BLOCK
      row += width;
    }
    k += depth;
  }
}
