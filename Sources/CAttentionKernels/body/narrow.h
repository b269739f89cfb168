// Products with a right side so narrow that a few rows of the result stay in registers: a panel of packed columns, or the
// keys and values of a head.

/// The vectors of a slice of columns at the most, beside which the rows' sums stay in 32 registers or in 16.
#define SLICE_VECTORS (LANES == 16 ? (size_t)4 : (size_t)2)
/// Rows whose sums stay in registers beside `vectors` of the right side.
#define SLICE_ROWS(vectors)                                                                                            \
  (LANES != 16 ? (vectors) == 2 ? (size_t)6 : (size_t)12                                                               \
               : (vectors) == 4 ? (size_t)6 : (vectors) == 3 ? (size_t)8 : (size_t)12)

/// How far ahead in a panel the nearest cache is filled: of 64 columns, four pages.
#define NEAR_ROWS 64

/// What a pass over a panel asks memory for meanwhile.
typedef struct {
  /// Whether rows of the panel itself are to come from memory: the first passes over it wait for them otherwise.
  bool near;
  /// Lines to ask for in every row, from `from` on, each row's `step` bytes behind the last: some of the next panel.
  size_t lines;
  uintptr_t from;
  size_t step;
} narrow_fetching;

/// `rows` and `vectors` are constants, and so are `near` and `lines` of what is asked for.
VECTOR_FN void narrow_block(const float *left, size_t left_stride, size_t inner, const float *right,
                            size_t right_stride, float factor, const float *bias, float *result, size_t result_stride,
                            bool adding, narrow_fetching ask, size_t rows, size_t vectors) {
  vf sums[12][4];
#define EACH_ROW _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++)
#define EACH_VECTOR _Pragma("clang loop unroll(full)") for (size_t j = 0; j < vectors; j++)
  EACH_ROW EACH_VECTOR sums[r][j] = v_set(0);
  for (size_t k = 0; k < inner; k++, right += right_stride) {
    vf w[4];
    EACH_VECTOR w[j] = v_load(right + j * LANES);
    // Addresses beyond the matrix do nothing; they are integers, whose sums are defined.
    if (ask.near) {
      uintptr_t ahead = (uintptr_t)right + NEAR_ROWS * right_stride * sizeof(float);
      EACH_VECTOR if (j * LANES % LINE == 0) __builtin_prefetch((const void *)(ahead + j * LANES * sizeof(float)), 0, 3);
    }
    _Pragma("clang loop unroll(full)") for (size_t i = 0; i < ask.lines; i++) {
      __builtin_prefetch((const void *)(ask.from + i * LINE * sizeof(float)), 0, 2);
    }
    ask.from += ask.step;
    EACH_ROW {
      vf x = v_set(left[r * left_stride + k]);
      EACH_VECTOR sums[r][j] = v_fma(x, w[j], sums[r][j]);
    }
  }
  vf factors = v_set(factor);
  EACH_ROW EACH_VECTOR {
    float *target = result + r * result_stride + j * LANES;
    vf product = factors * sums[r][j];
    if (adding) product = product + v_load(target);
    if (bias) product = product + v_load(bias + j * LANES);
    v_store(target, product);
  }
#undef EACH_ROW
#undef EACH_VECTOR
}

/// All rows of `vectors` columns, a constant; `ask` is one too, but for its addresses.
VECTOR_FN void narrow_slice(const float *left, size_t left_stride, size_t rows, size_t inner, const float *right,
                            size_t right_stride, float factor, const float *bias, float *result, size_t result_stride,
                            bool adding, narrow_fetching ask, size_t vectors) {
  // Parts of nearly equal height: a row alone would wait for each of its sums.
  for (size_t parts = (rows + SLICE_ROWS(vectors) - 1) / SLICE_ROWS(vectors); parts > 0; parts--) {
    size_t count = (rows + parts - 1) / parts;
    switch (count) {
#define ROWS(height)                                                                                                   \
  case height:                                                                                                         \
    if (height <= SLICE_ROWS(vectors)) {                                                                               \
      narrow_block(left, left_stride, inner, right, right_stride, factor, bias, result, result_stride, adding, ask,    \
                   height <= SLICE_ROWS(vectors) ? height : 1, vectors);                                               \
    }                                                                                                                  \
    break;
      ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
      ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
#undef ROWS
    }
    ask.from += inner * ask.step;
    left += count * left_stride;
    result += count * result_stride;
    rows -= count;
  }
}

static void narrow_product_(const float *left, size_t left_stride, size_t rows, size_t inner, const float *right,
                            size_t right_stride, size_t columns, float factor, const float *bias, float *result,
                            size_t result_stride, bool adding, bool fetching) {
  size_t first = 0;
#define SLICES(vectors, ask)                                                                                           \
  for (; first + (vectors)*LANES <= columns; first += (vectors)*LANES) {                                               \
    narrow_slice(left, left_stride, rows, inner, right + first, right_stride, factor, bias ? bias + first : 0,         \
                 result + first, result_stride, adding, ask, vectors);                                                 \
  }
  const narrow_fetching none = {false, 0, 0, 0};
  if (SLICE_VECTORS == 4) {
    // Each pass over a panel takes a share of the next one out of memory; one or two passes wait for their own.
    size_t passes = (rows + SLICE_ROWS(4) - 1) / SLICE_ROWS(4);
    uintptr_t next = (uintptr_t)right + inner * right_stride * sizeof(float);
    size_t step = fetching && passes > 0 ? (right_stride * sizeof(float) + passes - 1) / passes : 0;
    if (!fetching) {
      SLICES(4, none)
    } else if (passes < 3) {
      SLICES(4, ((narrow_fetching){true, 0, 0, 0}))
    } else if (passes < 4) {
      SLICES(4, ((narrow_fetching){true, 2, next, step}))
    } else {
      SLICES(4, ((narrow_fetching){false, 1, next, step}))
    }
    SLICES(3, none)
  }
  SLICES(2, none)
  SLICES(1, none)
#undef SLICES
}
