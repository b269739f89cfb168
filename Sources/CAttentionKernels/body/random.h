// Random bits by position: Philox 4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).
//
// A word depends on the seed, the stream and its place in the stream alone, whatever the kernel set and the order in
// which words are asked for: a mask that came from them is never stored.

/// The words of 16 counters: word w of counter c stands at 16·w + c, so that every set writes whole vectors.
#define RANDOM_GROUP 64

typedef uint32_t vw __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint64_t vww __attribute__((vector_size(LANES * sizeof(uint32_t))));

/// Both halves of the products of 32-bit words with a constant: those of even lanes and of odd ones, each in 64 bits, as
/// the processors multiply them.
VECTOR_FN vw v_multiply_words(vw x, uint32_t factor, vw *high) {
  const uint64_t low = 0xFFFFFFFFu;
  vww even = ((vww)x & low) * (uint64_t)factor;
  vww odd = ((vww)x >> 32) * (uint64_t)factor;
  *high = (vw)((even >> 32) | (odd & ~low));
  return (vw)((even & low) | (odd << 32));
}

VECTOR_FN void random_group(uint64_t seed, uint64_t stream, uint64_t group, uint32_t words[RANDOM_GROUP]) {
  // 16 counters of one group agree in all but the low 32 bits: no carry.
  uint64_t counter = group * 16;
  for (uint32_t first = 0; first < 16; first += LANES) {
    vw lane = {0};
    for (uint32_t k = 0; k < LANES; k++) lane[k] = first + k;
    vw a = lane + (uint32_t)counter;
    vw b = lane * 0 + (uint32_t)(counter >> 32);
    vw c = lane * 0 + (uint32_t)stream;
    vw d = lane * 0 + (uint32_t)(stream >> 32);
    uint32_t key = (uint32_t)seed, other_key = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
      vw high_a, high_c;
      vw low_a = v_multiply_words(a, 0xD2511F53u, &high_a);
      vw low_c = v_multiply_words(c, 0xCD9E8D57u, &high_c);
      a = high_c ^ b ^ key;
      b = low_c;
      c = high_a ^ d ^ other_key;
      d = low_a;
      key += 0x9E3779B9u;
      other_key += 0xBB67AE85u;
    }
    memcpy(words + first, &a, sizeof a);
    memcpy(words + 16 + first, &b, sizeof b);
    memcpy(words + 32 + first, &c, sizeof c);
    memcpy(words + 48 + first, &d, sizeof d);
  }
}

static void random_words_(uint64_t seed, uint64_t stream, uint64_t first, uint32_t *words, size_t n) {
  while (n > 0) {
    uint32_t group[RANDOM_GROUP];
    random_group(seed, stream, first / RANDOM_GROUP, group);
    size_t skipped = first % RANDOM_GROUP;
    size_t count = n < RANDOM_GROUP - skipped ? n : RANDOM_GROUP - skipped;
    memcpy(words, group + skipped, count * sizeof *words);
    words += count;
    first += count;
    n -= count;
  }
}

static void dropout_(
    const float *x, float *y, size_t n, uint64_t seed, uint64_t stream, uint64_t first, uint32_t threshold,
    float factor) {
  vf factors = v_set(factor);
  while (n > 0) {
    // The words of vectors that go past the group's end are 0, and not looked at.
    uint32_t group[RANDOM_GROUP + LANES] = {0};
    random_group(seed, stream, first / RANDOM_GROUP, group);
    size_t skipped = first % RANDOM_GROUP;
    size_t total = n < RANDOM_GROUP - skipped ? n : RANDOM_GROUP - skipped;
#define STEP(i, count)                                                                                                 \
  do {                                                                                                                 \
    vw word;                                                                                                           \
    memcpy(&word, group + skipped + (i), sizeof word);                                                                 \
    vw kept = (vw)(word >= threshold);                                                                                 \
    /* A selection: what is dropped is 0 whatever it was. */                                                           \
    v_put(y + (i), (vf)((vw)(v_get(x + (i), (count)) * factors) & kept), (count));                                     \
  } while (0)
    FOR_EACH_VECTOR(total, STEP);
#undef STEP
    x += total;
    y += total;
    first += total;
    n -= total;
  }
}
