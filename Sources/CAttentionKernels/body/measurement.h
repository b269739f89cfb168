// What the machine can do at best: multiply-adds out of registers, and reads out of memory.

/// Two pipes times a latency of four or five cycles want ten chains; twelve and the two constants fit 16 registers.
/// An arm64 core has up to four pipes, and 32 registers.
#if defined(__aarch64__)
#define PEAK_CHAINS 24
#else
#define PEAK_CHAINS 12
#endif

static double fma_peak_(uint64_t iterations, float *sink) {
  // x <- x/2 + 1 tends to 2: no subnormal, no overflow, however long it runs. The lanes start apart, so that the
  // compiler cannot fold equal ones.
  vf factor = v_set(0.5f);
  vf one = v_set(1.0f);
  vf a[PEAK_CHAINS];
  for (int k = 0; k < PEAK_CHAINS; k++) a[k] = v_iota() + v_set((float)k);
  for (uint64_t i = 0; i < iterations; i++) {
    _Pragma("clang loop unroll(full)") for (int k = 0; k < PEAK_CHAINS; k++) a[k] = v_fma(a[k], factor, one);
  }
  vf total = v_set(0);
  for (int k = 0; k < PEAK_CHAINS; k++) total += a[k];
  *sink = v_sum(total);
  return 2.0 * PEAK_CHAINS * (double)LANES * (double)iterations;
}

/// Floats in two cache lines: what is read of one stream before the next one's turn.
#define READ_BLOCK ((size_t)32)
/// Bytes ahead that a prefetching pattern asks for.
#define READ_AHEAD ((size_t)2048)

/// `streams` and `prefetch` are constants in every call.
VECTOR_FN float read_streams(const float *x, size_t n, size_t streams, bool prefetch) {
  size_t length = n / (streams * READ_BLOCK) * READ_BLOCK;
  vf a[ACCUMULATORS] = {v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0), v_set(0)};
  for (size_t i = 0; i < length; i += READ_BLOCK) {
    _Pragma("clang loop unroll(full)") for (size_t s = 0; s < streams; s++) {
      const float *p = x + s * length + i;
      if (prefetch) {
        // A hint about an address beyond the array does nothing; the sum is done on an integer, where it is defined.
        __builtin_prefetch((const void *)((uintptr_t)p + READ_AHEAD));
        __builtin_prefetch((const void *)((uintptr_t)p + READ_AHEAD + 64));
      }
      _Pragma("clang loop unroll(full)") for (size_t k = 0; k < READ_BLOCK / LANES; k++) {
        a[(s * (READ_BLOCK / LANES) + k) % ACCUMULATORS] += v_load(p + k * LANES);
      }
    }
  }
  return v_sum_of_accumulators(a) + sum_(x + streams * length, n - streams * length);
}

static float read_(const float *x, size_t n, int pattern) {
  switch (pattern) {
  case 1: return read_streams(x, n, 2, false);
  case 2: return read_streams(x, n, 4, false);
  case 3: return read_streams(x, n, 8, false);
  case 4: return read_streams(x, n, 1, true);
  case 5: return read_streams(x, n, 2, true);
  case 6: return read_streams(x, n, 4, true);
  case 7: return read_streams(x, n, 8, true);
  default: return read_streams(x, n, 1, false);
  }
}
