// Scores by a small network, one for each pair of a query and a key: v · tanh(q + k).

#define TANH_WIDTH EXP_WIDTH

/// t[k] = tanh(q + k) at `width` vectors from `i` on, a constant; the last one holds `count` elements, the others LANES.
VECTOR_FN void v_tanh_of_sums(const float *q, const float *k, size_t i, size_t count, vf *t, size_t width) {
  for (size_t w = 0; w < width; w++) {
    size_t held = w + 1 == width ? count : LANES;
    t[w] = v_get(q + i + w * LANES, held) + v_get(k + i + w * LANES, held);
  }
  v_softcap_all(t, width, v_set(1.0f), v_set(1.0f));
}

static void additive_scores_(const float *query, const float *keys, size_t stride, const float *v, float *scores,
                             size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++) {
    const float *key = keys + row * stride;
    vf a[TANH_WIDTH] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    size_t i = 0;
    for (; i + TANH_WIDTH * LANES <= n; i += TANH_WIDTH * LANES) {
      vf t[TANH_WIDTH];
      v_tanh_of_sums(query, key, i, LANES, t, TANH_WIDTH);
      for (size_t w = 0; w < TANH_WIDTH; w++) a[w] = v_fma(v_load(v + i + w * LANES), t[w], a[w]);
    }
    for (size_t w = 0; i < n; i += LANES, w++) {
      size_t count = n - i < LANES ? n - i : LANES;
      vf t;
      v_tanh_of_sums(query, key, i, count, &t, 1);
      a[w] = v_fma(v_get(v + i, count), t, a[w]);
    }
    scores[row] = v_sum((a[0] + a[2]) + (a[1] + a[3]));
  }
}

static void additive_gradients_(const float *query, const float *keys, size_t stride, const float *v,
                                const float *factors, float *query_gradient, float *key_gradients,
                                size_t gradient_stride, float *v_gradient, size_t rows, size_t n) {
  vf one = v_set(1.0f);
#define STEP(w)                                                                                                        \
  do {                                                                                                                 \
    size_t at = i + (w)*LANES;                                                                                         \
    size_t held = at + LANES <= n ? LANES : n - at;                                                                    \
    v_put(v_gradient + at, v_fma(factor, t[w], v_get(v_gradient + at, held)), held);                                   \
    vf slope = factor * v_get(v + at, held) * ((one - t[w]) * (one + t[w]));                                           \
    v_put(query_gradient + at, v_get(query_gradient + at, held) + slope, held);                                        \
    v_put(key_gradient + at, v_get(key_gradient + at, held) + slope, held);                                            \
  } while (0)
  for (size_t row = 0; row < rows; row++) {
    // A pair that does not count may hold anything.
    if (factors[row] == 0) continue;
    vf factor = v_set(factors[row]);
    const float *key = keys + row * stride;
    float *key_gradient = key_gradients + row * gradient_stride;
    size_t i = 0;
    for (; i + TANH_WIDTH * LANES <= n; i += TANH_WIDTH * LANES) {
      vf t[TANH_WIDTH];
      v_tanh_of_sums(query, key, i, LANES, t, TANH_WIDTH);
      for (size_t w = 0; w < TANH_WIDTH; w++) STEP(w);
    }
    for (; i < n; i += LANES) {
      vf t[1];
      v_tanh_of_sums(query, key, i, n - i < LANES ? n - i : LANES, t, 1);
      STEP(0);
    }
  }
#undef STEP
}
