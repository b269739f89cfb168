// Recurrent layers: the product of a few states with a weight that every step reads again, and what gates do.

/// Rows whose sums stay in registers beside the panel's two vectors: of 32 registers or of 16.
#define PANEL_ROWS (LANES == 16 ? (size_t)12 : (size_t)6)

/// `width` rows, a constant.
VECTOR_FN void panel_rows(const float *left, size_t left_stride, size_t inner, const float *panel, float *result,
                          size_t result_stride, size_t columns, bool adding, size_t width) {
  size_t first = columns < LANES ? columns : LANES, second = columns - first;
  vf a[12], b[12];
#define EACH _Pragma("clang loop unroll(full)") for (size_t r = 0; r < width; r++)
  EACH {
    a[r] = adding ? v_get(result + r * result_stride, first) : v_set(0);
    b[r] = adding && second ? v_get(result + r * result_stride + LANES, second) : v_set(0);
  }
  for (size_t k = 0; k < inner; k++) {
    vf p = v_load(panel + k * 2 * LANES), q = v_load(panel + k * 2 * LANES + LANES);
    EACH {
      vf x = v_set(left[r * left_stride + k]);
      a[r] = v_fma(x, p, a[r]);
      b[r] = v_fma(x, q, b[r]);
    }
  }
  EACH {
    v_put(result + r * result_stride, a[r], first);
    if (second) v_put(result + r * result_stride + LANES, b[r], second);
  }
#undef EACH
}

static void panel_product_(const float *left, size_t left_stride, size_t rows, size_t inner, const float *panel,
                           float *result, size_t result_stride, size_t columns, bool adding) {
  // Parts of nearly equal height: one row alone would wait for each of its sums.
  for (size_t parts = (rows + PANEL_ROWS - 1) / PANEL_ROWS; parts > 0; parts--) {
    size_t count = (rows + parts - 1) / parts;
    switch (count) {
#define ROWS(width)                                                                                                    \
  case width:                                                                                                          \
    panel_rows(left, left_stride, inner, panel, result, result_stride, columns, adding, width);                        \
    break;
      ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
      ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
#undef ROWS
    }
    left += count * left_stride;
    result += count * result_stride;
    rows -= count;
  }
}

VECTOR_FN vf v_tanh(vf x) {
  v_tanh_all(&x, 1);
  return x;
}
/// The slope of the logistic function, and of tanh, where their values are known.
VECTOR_FN vf v_sigmoid_slope_at(vf y) { return y * (v_set(1.0f) - y); }
VECTOR_FN vf v_tanh_slope_at(vf y) { return (v_set(1.0f) - y) * (v_set(1.0f) + y); }

/// The argument of gate q at column i of row r.
VECTOR_FN vf v_gate_product(const attention_gates *s, size_t r, size_t q, size_t i, size_t count) {
  vf x = v_get(s->products + r * s->product_stride + q * s->product_gate_stride + i, count);
  return s->bias ? x + v_get(s->bias + q * s->input_gate_stride + i, count) : x;
}
VECTOR_FN vf v_gate_input(const attention_gates *s, size_t r, size_t q, size_t i, size_t count) {
  return v_get(s->inputs + r * s->input_stride + q * s->input_gate_stride + i, count);
}
VECTOR_FN void v_keep_gate(const attention_gates *s, size_t r, size_t q, size_t i, size_t count, vf x) {
  if (s->gates) v_put(s->gates + r * s->gate_row_stride + q * s->gate_stride + i, x, count);
}

#define GATE(q) (v_gate_input(s, r, q, i, count) + v_gate_product(s, r, q, i, count))
#define STATE(name) v_get(s->name + r * s->state_stride + i, count)
#define SET_STATE(name, x) v_put(s->name + r * s->state_stride + i, x, count)

VECTOR_FN void elman_step(const attention_gates *s, size_t r, size_t i, size_t count, bool relu) {
  vf x = GATE(0);
  SET_STATE(h, relu ? v_max(v_set(0), x) : v_tanh(x));
}

VECTOR_FN void lstm_step(const attention_gates *s, size_t r, size_t i, size_t count) {
  vf x[3] = {GATE(0), GATE(1), GATE(3)}, share[3], rest[3];
  v_logistic_all(x, share, rest, 3);
  vf g = v_tanh(GATE(2));
  vf c = v_fma(share[1], STATE(c_previous), share[0] * g);
  SET_STATE(c, c);
  SET_STATE(h, share[2] * v_tanh(c));
  v_keep_gate(s, r, 0, i, count, share[0]);
  v_keep_gate(s, r, 1, i, count, share[1]);
  v_keep_gate(s, r, 2, i, count, g);
  v_keep_gate(s, r, 3, i, count, share[2]);
}

VECTOR_FN void gru_step(const attention_gates *s, size_t r, size_t i, size_t count) {
  vf x[2] = {GATE(0), GATE(1)}, share[2], rest[2];
  v_logistic_all(x, share, rest, 2);
  vf product = v_gate_product(s, r, 2, i, count);
  vf n = v_tanh(v_fma(share[0], product, v_gate_input(s, r, 2, i, count)));
  vf previous = STATE(h_previous);
  SET_STATE(h, v_fma(share[1], previous, rest[1] * n));
  v_keep_gate(s, r, 0, i, count, share[0]);
  v_keep_gate(s, r, 1, i, count, share[1]);
  v_keep_gate(s, r, 2, i, count, n);
  v_keep_gate(s, r, 3, i, count, product);
}

VECTOR_FN void gru_reset_step(const attention_gates *s, size_t r, size_t i, size_t count) {
  vf x[2] = {GATE(0), GATE(1)}, share[2], rest[2];
  v_logistic_all(x, share, rest, 2);
  SET_STATE(c, share[0] * STATE(h_previous));
  v_keep_gate(s, r, 0, i, count, share[0]);
  v_keep_gate(s, r, 1, i, count, share[1]);
}

VECTOR_FN void gru_update_step(const attention_gates *s, size_t r, size_t i, size_t count) {
  vf n = v_tanh(GATE(0));
  float *gates = s->gates + r * s->gate_row_stride + i;
  vf z = v_get(gates + s->gate_stride, count);
  SET_STATE(h, v_fma(z, STATE(h_previous), (v_set(1.0f) - z) * n));
  v_put(gates + 2 * s->gate_stride, n, count);
}

/// Runs STEP at every vector of every row.
#define EVERY_VECTOR(STEP)                                                                                             \
  for (size_t r = 0; r < s->rows; r++) {                                                                               \
    size_t i = 0;                                                                                                      \
    for (; i + LANES <= s->n; i += LANES) STEP(LANES);                                                                 \
    if (i < s->n) STEP(s->n - i);                                                                                      \
  }                                                                                                                    \
  break

static void gates_(const attention_gates *s) {
  switch (s->cell) {
#define STEP(count) elman_step(s, r, i, count, false)
  case ATTENTION_ELMAN_TANH: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) elman_step(s, r, i, count, true)
  case ATTENTION_ELMAN_RELU: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) lstm_step(s, r, i, count)
  case ATTENTION_LSTM: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) gru_step(s, r, i, count)
  case ATTENTION_GRU: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) gru_reset_step(s, r, i, count)
  case ATTENTION_GRU_RESET: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) gru_update_step(s, r, i, count)
  case ATTENTION_GRU_UPDATE: EVERY_VECTOR(STEP);
#undef STEP
  }
}
#undef GATE

#define GATE(q) v_get(s->gates + r * s->gate_row_stride + (q) * s->gate_stride + i, count)
#define SET_GRADIENT(q, x) v_put(s->of_inputs + r * s->gradient_stride + (q) * s->gate_stride + i, x, count)
#define SET_PRODUCT_GRADIENT(q, x) v_put(s->of_products + r * s->gradient_stride + (q) * s->gate_stride + i, x, count)
/// The gradient of the state that the step left, by all its ways.
#define OF_STATE (s->upstream ? STATE(h_gradient) + STATE(upstream) : STATE(h_gradient))

VECTOR_FN void elman_back(const attention_gate_gradients *s, size_t r, size_t i, size_t count, bool relu) {
  vf h = STATE(h), upstream = OF_STATE;
  // PyTorch's relu passes on what comes where the result is above 0, or NaN.
  SET_GRADIENT(0, relu ? v_select(v_equal(h, v_set(0)), v_set(0), upstream) : upstream * v_tanh_slope_at(h));
  SET_STATE(h_gradient, v_set(0));
}

VECTOR_FN void lstm_back(const attention_gate_gradients *s, size_t r, size_t i, size_t count) {
  vf input = GATE(0), forget = GATE(1), g = GATE(2), output = GATE(3);
  vf upstream = OF_STATE, t = v_tanh(STATE(c));
  vf of_c = v_fma(upstream * output, v_tanh_slope_at(t), STATE(c_gradient));
  SET_GRADIENT(0, of_c * g * v_sigmoid_slope_at(input));
  SET_GRADIENT(1, of_c * STATE(c_previous) * v_sigmoid_slope_at(forget));
  SET_GRADIENT(2, of_c * input * v_tanh_slope_at(g));
  SET_GRADIENT(3, upstream * t * v_sigmoid_slope_at(output));
  SET_STATE(c_gradient, of_c * forget);
  SET_STATE(h_gradient, v_set(0));
}

VECTOR_FN void gru_back(const attention_gate_gradients *s, size_t r, size_t i, size_t count) {
  vf reset = GATE(0), z = GATE(1), n = GATE(2), product = GATE(3);
  vf upstream = OF_STATE, previous = STATE(h_previous);
  vf of_n = upstream * (v_set(1.0f) - z) * v_tanh_slope_at(n);
  vf of_z = upstream * (previous - n) * v_sigmoid_slope_at(z);
  vf of_reset = of_n * product * v_sigmoid_slope_at(reset);
  SET_GRADIENT(0, of_reset);
  SET_GRADIENT(1, of_z);
  SET_GRADIENT(2, of_n);
  SET_PRODUCT_GRADIENT(0, of_reset);
  SET_PRODUCT_GRADIENT(1, of_z);
  SET_PRODUCT_GRADIENT(2, of_n * reset);
  SET_STATE(h_gradient, upstream * z);
}

VECTOR_FN void gru_update_back(const attention_gate_gradients *s, size_t r, size_t i, size_t count) {
  vf z = GATE(1), n = GATE(2), upstream = OF_STATE;
  SET_GRADIENT(1, upstream * (STATE(h_previous) - n) * v_sigmoid_slope_at(z));
  SET_GRADIENT(2, upstream * (v_set(1.0f) - z) * v_tanh_slope_at(n));
  SET_STATE(h_gradient, upstream * z);
}

VECTOR_FN void gru_reset_back(const attention_gate_gradients *s, size_t r, size_t i, size_t count) {
  vf reset = GATE(0), of_product = v_get(s->reset_gradient + r * s->reset_stride + i, count);
  SET_GRADIENT(0, of_product * STATE(h_previous) * v_sigmoid_slope_at(reset));
  SET_STATE(h_gradient, v_fma(of_product, reset, STATE(h_gradient)));
}

static void gate_gradients_(const attention_gate_gradients *s) {
  switch (s->cell) {
#define STEP(count) elman_back(s, r, i, count, false)
  case ATTENTION_ELMAN_TANH: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) elman_back(s, r, i, count, true)
  case ATTENTION_ELMAN_RELU: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) lstm_back(s, r, i, count)
  case ATTENTION_LSTM: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) gru_back(s, r, i, count)
  case ATTENTION_GRU: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) gru_reset_back(s, r, i, count)
  case ATTENTION_GRU_RESET: EVERY_VECTOR(STEP);
#undef STEP
#define STEP(count) gru_update_back(s, r, i, count)
  case ATTENTION_GRU_UPDATE: EVERY_VECTOR(STEP);
#undef STEP
  }
}
#undef EVERY_VECTOR
#undef GATE
#undef STATE
#undef SET_STATE
#undef SET_GRADIENT
#undef SET_PRODUCT_GRADIENT
#undef OF_STATE
