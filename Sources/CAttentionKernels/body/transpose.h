// Rows into columns: keys [n, dk] into a panel [dk, n], whose rows a product without transposition reads.

/// Eight floats, whatever the set's own width: a block of 8 by 8 takes 24 shuffles, and its rows are 32 bytes.
typedef float v8 __attribute__((ext_vector_type(8)));

/// target[j * target_stride + i] = source[i * source_stride + j] for i, j < 8.
VECTOR_FN void v_transpose_8_by_8(const float *source, size_t source_stride, float *target, size_t target_stride) {
  v8 a[8], b[8];
#define EACH(count) _Pragma("clang loop unroll(full)") for (size_t k = 0; k < (count); k++)
  // memcpy and no functions: without AVX, no ABI says how to pass such a vector.
  EACH(8) memcpy(&a[k], source + k * source_stride, sizeof a[k]);
  // Pairs of rows, then fours, inside each half of 128 bits, where shuffles cost a cycle; halves are swapped last.
  EACH(4) {
    b[2 * k] = __builtin_shufflevector(a[2 * k], a[2 * k + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    b[2 * k + 1] = __builtin_shufflevector(a[2 * k], a[2 * k + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  EACH(2) {
    a[4 * k] = __builtin_shufflevector(b[4 * k], b[4 * k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[4 * k + 1] = __builtin_shufflevector(b[4 * k], b[4 * k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    a[4 * k + 2] = __builtin_shufflevector(b[4 * k + 1], b[4 * k + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    a[4 * k + 3] = __builtin_shufflevector(b[4 * k + 1], b[4 * k + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  EACH(4) {
    b[k] = __builtin_shufflevector(a[k], a[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    b[k + 4] = __builtin_shufflevector(a[k], a[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  EACH(8) memcpy(target + k * target_stride, &b[k], sizeof b[k]);
#undef EACH
}

/// How far ahead source rows are asked for: two groups of eight.
#define PREFETCHED_ROWS 16

static void transpose_(
    const float *source, size_t source_stride, float *target, size_t target_stride, size_t rows, size_t columns) {
  size_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
  for (size_t i = 0; i < whole_rows; i += 8) {
    for (size_t j = 0; j < whole_columns; j += 8) {
      // Eight rows at a time are no stream that the processor would recognise: it is told what comes after the next ones.
      if (j % 16 == 0 && i + PREFETCHED_ROWS < whole_rows) {
        const float *ahead = source + (i + PREFETCHED_ROWS) * source_stride + j;
        for (size_t k = 0; k < 8; k++) __builtin_prefetch(ahead + k * source_stride);
      }
      v_transpose_8_by_8(source + i * source_stride + j, source_stride, target + j * target_stride + i, target_stride);
    }
  }
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++) {
      target[j * target_stride + i] = source[i * source_stride + j];
    }
  }
}
