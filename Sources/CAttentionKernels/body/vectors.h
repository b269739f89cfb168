// What the bodies need beyond the primitives: one element-wise step that serves whole vectors and the tail alike.

/// `count` is LANES in the main loop, where it is a constant and the branch folds, and less in the tail. Both compute
/// on whole vectors, so an element's bits do not depend on which of the two it falls into.
VECTOR_FN vf v_get(const float *p, size_t count) { return count == LANES ? v_load(p) : v_load_first(p, count); }
VECTOR_FN void v_put(float *p, vf x, size_t count) {
  if (count == LANES) {
    v_store(p, x);
  } else {
    v_store_first(p, x, count);
  }
}

/// Runs STEP(i, count) over [0, n), a vector at a time. Four steps to a turn, so that independent latencies overlap.
#define FOR_EACH_VECTOR(n, STEP)                                                                                       \
  do {                                                                                                                 \
    size_t i_ = 0;                                                                                                     \
    for (; i_ + 4 * LANES <= (n); i_ += 4 * LANES) {                                                                   \
      STEP(i_, LANES);                                                                                                 \
      STEP(i_ + LANES, LANES);                                                                                         \
      STEP(i_ + 2 * LANES, LANES);                                                                                     \
      STEP(i_ + 3 * LANES, LANES);                                                                                     \
    }                                                                                                                  \
    for (; i_ + LANES <= (n); i_ += LANES) STEP(i_, LANES);                                                            \
    if (i_ < (n)) STEP(i_, (n) - i_);                                                                                  \
  } while (0)

/// The floats of a cache line, and the longest row whose passes ask for lines ahead: its result and the next row find
/// room beside it in the caches.
#define LINE (64 / sizeof(float))
#define LONGEST_AHEAD ((size_t)1 << 13)

/// In step k of a turn: asks for the cache line of p, unless p is NULL. The first pass over a row asks for the lines of
/// its result and a later one for the next row's, so that memory works while the processor does: its own prefetching ends
/// at the page, and a store to a line that is not there waits for it.
VECTOR_FN void v_ask(const float *p, size_t k) {
  if (k * LANES % LINE == 0 && p) __builtin_prefetch(p);
}

/// The row of n floats after this one, if a pass over this one may ask for it.
VECTOR_FN const float *row_after(const float *rows, size_t row, size_t count, size_t n) {
  return row + 1 < count && n <= LONGEST_AHEAD ? rows + (row + 1) * n : 0;
}

/// Sums and maxima run in several independent accumulators: one would wait for each addition to finish. Vector k of the
/// array goes to accumulator k mod ACCUMULATORS, the tail included: the order depends on n alone.
#define ACCUMULATORS 8

/// Runs STEP(k, i, count) over [0, n), a vector at a time, in turns of `width`; k = 0 … width - 1 is a constant.
#define FOR_EACH_IN_TURN(width, n, STEP)                                                                               \
  do {                                                                                                                 \
    size_t i_ = 0;                                                                                                     \
    for (; i_ + (width) * LANES <= (n); i_ += (width) * LANES) {                                                       \
      _Pragma("clang loop unroll(full)") for (size_t k_ = 0; k_ < (width); k_++) {                                     \
        STEP(k_, i_ + k_ * LANES, LANES);                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
    _Pragma("clang loop unroll(full)") for (size_t k_ = 0; k_ < (width); k_++) {                                       \
      if (i_ + LANES <= (n)) {                                                                                         \
        STEP(k_, i_, LANES);                                                                                           \
        i_ += LANES;                                                                                                   \
      } else if (i_ < (n)) {                                                                                           \
        STEP(k_, i_, (n) - i_);                                                                                        \
        i_ = (n);                                                                                                      \
      }                                                                                                                \
    }                                                                                                                  \
  } while (0)

/// Adds the accumulators up by halves.
VECTOR_FN float v_sum_of_accumulators(const vf a[ACCUMULATORS]) {
  return v_sum(((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])));
}
