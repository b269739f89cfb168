// cap · tanh(x / cap).

/// For `width` vectors, a constant, side by side as in v_exp_all.
VECTOR_FN void v_softcap_all(vf *x, size_t width, vf cap, vf inverse) {
  vf e[EXP_WIDTH];
  _Pragma("clang loop unroll(full)") for (size_t k = 0; k < width; k++) {
    vf u = v_abs(x[k]) * inverse;
    e[k] = u + u;
  }
  v_exp_all(e, width);

  _Pragma("clang loop unroll(full)") for (size_t k = 0; k < width; k++) {
    // Small: tanh(u)/u = 1 + u²·q(u²), minimax on [0, 0.625]. It multiplies x itself, so that an error of 1/cap does
    // not show, subnormals come through, and -0 keeps its sign.
    vf u = v_abs(x[k]) * inverse;
    vf z = u * u;
    vf q = v_set(-0x1.76ac1ap-8f);
    q = v_fma(q, z, v_set(0x1.5256d8p-6f));
    q = v_fma(q, z, v_set(-0x1.b84448p-5f));
    q = v_fma(q, z, v_set(0x1.110768p-3f));
    q = v_fma(q, z, v_set(-0x1.555534p-2f));
    vf small = x[k] * v_fma(q, z, v_set(1.0f));

    // Large: tanh u = 1 - 2/(e^2u + 1); e^2u may be inf.
    vf large = cap - (cap + cap) / (e[k] + v_set(1.0f));
    // A NaN is not less than anything: it takes the second way and comes through.
    x[k] = v_select(v_less(u, v_set(0.625f)), small, v_with_sign_of(large, x[k]));
  }
}

static void softcap_(const float *x, float *y, float cap, size_t n) {
  vf caps = v_set(cap);
  vf inverse = v_set(1.0f / cap);
  size_t i = 0;
  for (; i + EXP_WIDTH * LANES <= n; i += EXP_WIDTH * LANES) {
    vf v[EXP_WIDTH];
    for (size_t k = 0; k < EXP_WIDTH; k++) v[k] = v_load(x + i + k * LANES);
    v_softcap_all(v, EXP_WIDTH, caps, inverse);
    for (size_t k = 0; k < EXP_WIDTH; k++) v_store(y + i + k * LANES, v[k]);
  }
  for (; i < n; i += LANES) {
    size_t count = n - i < LANES ? n - i : LANES;
    vf v = v_get(x + i, count);
    v_softcap_all(&v, 1, caps, inverse);
    v_put(y + i, v, count);
  }
}
