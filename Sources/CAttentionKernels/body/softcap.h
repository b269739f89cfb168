// cap · tanh(x / cap).

VECTOR_FN vf v_softcap(vf x, vf cap, vf inverse) {
  vf u = v_abs(x) * inverse;

  // Small: tanh(u)/u = 1 + u²·q(u²), minimax on [0, 0.625]. It multiplies x itself, so that an error of 1/cap does not
  // show, subnormals come through, and -0 keeps its sign.
  vf z = u * u;
  vf q = v_set(-0x1.76ac1ap-8f);
  q = v_fma(q, z, v_set(0x1.5256d8p-6f));
  q = v_fma(q, z, v_set(-0x1.b84448p-5f));
  q = v_fma(q, z, v_set(0x1.110768p-3f));
  q = v_fma(q, z, v_set(-0x1.555534p-2f));
  vf small = x * v_fma(q, z, v_set(1.0f));

  // Large: tanh u = 1 - 2/(e^2u + 1); e^2u may be inf.
  vf large = cap - (cap + cap) / (v_exp(u + u) + v_set(1.0f));
  // A NaN is not less than anything: it takes the second way and comes through.
  return v_select(v_less(u, v_set(0.625f)), small, v_with_sign_of(large, x));
}

static void softcap_(const float *x, float *y, float cap, size_t n) {
  vf caps = v_set(cap);
  vf inverse = v_set(1.0f / cap);
#define STEP(i, count) v_put(y + (i), v_softcap(v_get(x + (i), (count)), caps, inverse), (count))
  FOR_EACH_VECTOR(n, STEP);
#undef STEP
}
