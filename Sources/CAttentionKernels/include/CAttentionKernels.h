// Inner loops over contiguous float32 arrays, compiled once per instruction set and chosen at run time.
//
// No kernel allocates, locks, or reads or writes one byte outside [p, p + n). No pointer need be aligned. Arrays are
// either the same array (in-place) or do not overlap. Within one kernel set the bits of an element do not depend on
// where it stands in the array; sums run over a fixed order of lanes that depends on n alone.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "AttentionCalls.h"

#ifdef __cplusplus
extern "C" {
#endif

/// One compiled set of kernels.
typedef struct attention_kernels {
  attention_instruction_set isa;
  /// "portable", "avx2" or "avx512".
  const char *_Nonnull name;
  /// Floats in one vector register.
  size_t lanes;

  /// y[i] = e^x[i], within 2 ulp over the whole range, gradual underflow included.
  /// e^0 = 1 and e^-inf = 0 exactly; NaN gives NaN; above ln(FLT_MAX) gives +inf.
  void (*_Nonnull exp)(const float *_Nonnull x, float *_Nonnull y, size_t n);

  /// y[i] = cap * tanh(x[i] / cap), within 4 ulp; the soft cap of attention scores. Odd, NaN gives NaN, +-inf gives
  /// +-cap. 2^-126 <= cap <= 2^126, so that 1 / cap has its full precision.
  void (*_Nonnull softcap)(const float *_Nonnull x, float *_Nonnull y, float cap, size_t n);

  /// The largest element; NaN if any element is NaN; -inf when n = 0.
  float (*_Nonnull max)(const float *_Nonnull x, size_t n);

  /// y[i] = e^(x[i] - shift); returns the sum of y. A finite shift; x may hold -inf (gives 0) and NaN.
  float (*_Nonnull exp_sum)(const float *_Nonnull x, float shift, float *_Nonnull y, size_t n);

  /// The sum of x.
  float (*_Nonnull sum)(const float *_Nonnull x, size_t n);

  /// y[i] = factor * x[i].
  void (*_Nonnull scale)(const float *_Nonnull x, float factor, float *_Nonnull y, size_t n);

  /// y[i] += factor * x[i], fused where the set has FMA.
  void (*_Nonnull axpy)(float factor, const float *_Nonnull x, float *_Nonnull y, size_t n);

  /// z[i] = x[i] + y[i], and so on; where x_is_one (or y_is_one), its first element stands for all. Not both.
  void (*_Nonnull add)(const float *_Nonnull x, bool x_is_one, const float *_Nonnull y, bool y_is_one,
                       float *_Nonnull z, size_t n);
  void (*_Nonnull subtract)(const float *_Nonnull x, bool x_is_one, const float *_Nonnull y, bool y_is_one,
                            float *_Nonnull z, size_t n);
  void (*_Nonnull multiply)(const float *_Nonnull x, bool x_is_one, const float *_Nonnull y, bool y_is_one,
                            float *_Nonnull z, size_t n);
  void (*_Nonnull divide)(const float *_Nonnull x, bool x_is_one, const float *_Nonnull y, bool y_is_one,
                          float *_Nonnull z, size_t n);

  /// y[i] = f(x[i] + bias[i]), bias NULL for none; sums[i] = x[i] + bias[i] unless sums is NULL. NaN gives NaN, and an
  /// infinity the limit. Relative errors stay below 8e-7, in the tails too; but those of GELU's tanh form only for x > -3. y and sums may be x.
  void (*_Nonnull activate)(attention_activation activation, const float *_Nonnull x, const float *_Nullable bias,
                            float *_Nullable sums, float *_Nonnull y, size_t n);
  /// The same of rows in place.
  void (*_Nonnull activate_rows)(attention_activation activation, float *_Nonnull x, size_t stride,
                                 const float *_Nullable bias, float *_Nullable sums, size_t sums_stride, size_t rows,
                                 size_t n);

  /// y[i] = upstream[i] * f'(x[i]). y may be x or upstream.
  void (*_Nonnull activation_gradient)(attention_activation activation, const float *_Nonnull x,
                                       const float *_Nonnull upstream, float *_Nonnull y, size_t n);
  /// y = (x - mean) / sqrt(variance + epsilon) * weight + bias of each row, with its biased variance; accurate where the
  /// mean is large beside the spread. Each row's bits depend on its own floats alone. A NaN or infinity in a row makes
  /// that row NaN, and no other.
  void (*_Nonnull layer_norm)(const attention_norm *_Nonnull norm);
  /// y = x / sqrt(mean(x^2) + epsilon) * weight + bias of each row.
  void (*_Nonnull rms_norm)(const attention_norm *_Nonnull norm);
  void (*_Nonnull layer_norm_gradient)(const attention_norm_gradient *_Nonnull norm);
  void (*_Nonnull rms_norm_gradient)(const attention_norm_gradient *_Nonnull norm);
  /// sums[i] += x[i].
  void (*_Nonnull add_to_doubles)(const float *_Nonnull x, double *_Nonnull sums, size_t n);

  /// For each column of a block of rows: sums[i] += its differences from the first row, squares[i] += their squares.
  void (*_Nonnull column_moments)(const float *_Nonnull x, size_t rows, size_t n, float *_Nonnull sums,
                                  float *_Nonnull squares);
  /// The sum of such a block's columns: totals[i] += rows * first[i] + sums[i].
  void (*_Nonnull add_moments)(const float *_Nonnull first, const float *_Nonnull sums, size_t rows,
                               double *_Nonnull totals, size_t n);
  /// The sum of their squared differences from means[i].
  void (*_Nonnull add_squares)(const float *_Nonnull first, const float *_Nonnull sums, const float *_Nonnull squares,
                               size_t rows, const double *_Nonnull means, double *_Nonnull totals, size_t n);
  /// y = unit * weight + bias, where unit = (x - mean) * factor.
  void (*_Nonnull normalise_columns)(const attention_columns *_Nonnull columns, const float *_Nullable weight,
                                     const float *_Nullable bias, float *_Nonnull y);
  /// of_weight[i] += the sum of upstream * unit over the rows, of_bias[i] += that of upstream.
  void (*_Nonnull column_gradient_sums)(const attention_columns *_Nonnull columns, const float *_Nonnull upstream,
                                        float *_Nonnull of_weight, float *_Nonnull of_bias);
  /// of_x = (upstream - shift - unit * slope) * scale.
  void (*_Nonnull column_gradient)(const attention_columns *_Nonnull columns, const float *_Nonnull upstream,
                                   const float *_Nonnull shift, const float *_Nonnull slope,
                                   const float *_Nonnull scale, float *_Nonnull of_x);

  /// The softmax of each row of n floats: its maximum taken away first. A row that is all -inf, or holds NaN or +inf,
  /// becomes NaN. y may be x.
  void (*_Nonnull softmax)(const float *_Nonnull x, float *_Nonnull y, size_t rows, size_t n);
  /// The sum of e^(x[i] - shift). A finite shift; x may hold -inf and NaN.
  float (*_Nonnull sum_of_exp)(const float *_Nonnull x, float shift, size_t n);
  /// The sum of x[i] - shift.
  float (*_Nonnull sum_of_differences)(const float *_Nonnull x, float shift, size_t n);
  /// y[i] = factor * x[i] + shift, fused where the set has FMA.
  void (*_Nonnull scale_and_shift)(const float *_Nonnull x, float factor, float shift, float *_Nonnull y, size_t n);
  /// y[i] = (x[i] - first) - second.
  void (*_Nonnull subtract_both)(const float *_Nonnull x, float first, float second, float *_Nonnull y, size_t n);
  /// The way back through p = softmax(x): y[i] = p[i] * (upstream[i] - sum over j of p[j] * upstream[j]).
  void (*_Nonnull softmax_gradient)(const float *_Nonnull p, const float *_Nonnull upstream, float *_Nonnull y,
                                    size_t n);
  /// The way back through x = log(softmax(…)): y[i] = upstream[i] - e^x[i] * sum over j of upstream[j].
  void (*_Nonnull log_softmax_gradient)(const float *_Nonnull x, const float *_Nonnull upstream, float *_Nonnull y,
                                        size_t n);

  /// words[i] = 32 random bits for place first + i of a stream (Philox 4x32-10): equal on every set.
  void (*_Nonnull random_words)(uint64_t seed, uint64_t stream, uint64_t first, uint32_t *_Nonnull words, size_t n);
  /// y[i] = factor * x[i] where the random word of place first + i is at least `threshold`, else 0.
  void (*_Nonnull dropout)(const float *_Nonnull x, float *_Nonnull y, size_t n, uint64_t seed, uint64_t stream,
                           uint64_t first, uint32_t threshold, float factor);

  /// The dot product of x and y.
  float (*_Nonnull dot)(const float *_Nonnull x, const float *_Nonnull y, size_t n);

  /// scores[i] = allowed[i] != 0 ? scores[i] : -inf. A selection: a NaN that is not allowed is gone.
  void (*_Nonnull keep_allowed)(float *_Nonnull scores, const uint8_t *_Nonnull allowed, size_t n);

  /// Rows of scores, of which the first stands at `start`: -inf outside of [lower[row], upper[row]).
  void (*_Nonnull keep_intervals)(float *_Nonnull scores, size_t stride, size_t rows, size_t columns, ptrdiff_t start,
                                  const ptrdiff_t *_Nonnull lower, const ptrdiff_t *_Nonnull upper);

  /// scores[i] = bias[i] == -inf ? -inf : scores[i] + bias[i]. A selection: -inf masks even a NaN.
  void (*_Nonnull add_bias)(float *_Nonnull scores, const float *_Nonnull bias, size_t n);

  /// scores[i] -= slope * |first + i|, the distance from query to key being first + i. |first| + n <= 2^24.
  void (*_Nonnull add_distance_bias)(float *_Nonnull scores, float slope, int32_t first, size_t n);

  /// scores[i] += the sum of biases, in float64 and in their order, so that large ones may cancel; a sum of finite ones
  /// is finite. -inf where one of them is -inf: an infinity of another does not revive it. |first| + n <= 2^24.
  void (*_Nonnull add_bias_sum)(float *_Nonnull scores, const attention_bias *_Nonnull biases, size_t count, size_t n);

  /// Whether every element is finite.
  bool (*_Nonnull all_finite)(const float *_Nonnull x, size_t n);

  /// target[j * target_stride + i] = source[i * source_stride + j] for i < rows, j < columns. No overlap.
  void (*_Nonnull transpose)(const float *_Nonnull source, size_t source_stride, float *_Nonnull target,
                             size_t target_stride, size_t rows, size_t columns);

  /// One step of an online softmax over a tile of scores: `rows` rows of `columns` scores, a multiple of 16, masked ones
  /// -inf. Turns scores into weights e^(score - reference[row]) and adds them to sums[row]; where a score exceeds a row's
  /// reference by more than a slack, the reference moves there first and the sum is rescaled. `factors` receives what
  /// each row's other accumulators are to be multiplied by; returns whether one of them is not 1.
  ///
  /// Start with references of -inf and sums of 0. A row of nothing but -inf changes nothing; a NaN or +inf makes the sum
  /// NaN. A row's bits depend on its own scores alone, and -inf before or behind them changes none.
  bool (*_Nonnull softmax_tile)(float *_Nonnull scores, size_t stride, size_t rows, size_t columns,
                                float *_Nonnull references, float *_Nonnull sums, float *_Nonnull factors);

  /// The way back through a softmax over a tile: gradients = weights * (gradients - means[row]), and 0 where a weight is 0.
  void (*_Nonnull score_gradients)(const float *_Nonnull weights, float *_Nonnull gradients, size_t stride,
                                   size_t rows, size_t columns, const float *_Nonnull means);

  /// The way back through softcap: gradients[i] *= 1 - (capped[i] / cap)^2, and 0 stays 0.
  void (*_Nonnull softcap_gradients)(const float *_Nonnull capped, float cap, float *_Nonnull gradients, size_t n);

  /// y[i] = e^(x[i] - reference) * factor, by the same exponential as softmax_tile. A finite reference >= x[i] - 6.
  void (*_Nonnull weights_row)(const float *_Nonnull x, float reference, float factor, float *_Nonnull y, size_t n);

  /// e^x by the same exponential as softmax_tile, for x <= 88.
  float (*_Nonnull weight)(float x);

  /// Multiplies each row by its factor; rows with a factor of 1 are not touched.
  void (*_Nonnull scale_rows)(float *_Nonnull x, size_t stride, size_t rows, size_t columns,
                              const float *_Nonnull factors);

  /// y[i] = of_y * y[i] + of_x * x[i].
  void (*_Nonnull merge)(float *_Nonnull y, float of_y, const float *_Nonnull x, float of_x, size_t n);

  /// Ends the softmax of rows of n sums: y = x * (1 / sums[row]) + 0, which is no -0. Returns whether every element of x
  /// and every reference is finite.
  bool (*_Nonnull finish_rows)(const float *_Nonnull x, size_t x_stride, size_t rows, const float *_Nonnull references,
                               const float *_Nonnull sums, float *_Nonnull y, size_t y_stride, size_t n);

  /// Bit 0: some byte is not 0; bit 1: some byte is 0. 0 when n = 0.
  unsigned (*_Nonnull classify_bytes)(const uint8_t *_Nonnull x, size_t n);

  /// scores[j] = sum over c of v[c] * tanh(query[c] + keys[j * stride + c]), for j < rows and c < n. A score's bits depend
  /// on its own row alone.
  void (*_Nonnull additive_scores)(const float *_Nonnull query, const float *_Nonnull keys, size_t stride,
                                   const float *_Nonnull v, float *_Nonnull scores, size_t rows, size_t n);

  /// The way back, of factors[j], the gradient of score j: with t = tanh(query[c] + key[c]), adds factors[j] * t to
  /// v_gradient[c], and factors[j] * v[c] * (1 - t^2) to query_gradient[c] and to key_gradients[j * gradient_stride + c].
  /// A row whose factor is 0 is not read.
  void (*_Nonnull additive_gradients)(const float *_Nonnull query, const float *_Nonnull keys, size_t stride,
                                      const float *_Nonnull v, const float *_Nonnull factors,
                                      float *_Nonnull query_gradient, float *_Nonnull key_gradients,
                                      size_t gradient_stride, float *_Nonnull v_gradient, size_t rows, size_t n);

  /// result[i * result_stride + j] = (adding ? result : 0) + sum over k of left[i * left_stride + k] * panel[k * 2 * lanes + j]
  /// for i < rows and j < columns <= 2 * lanes, one k after the other: an element's bits depend on its own row and column
  /// alone. The panel's columns are all there, up to 2 * lanes.
  void (*_Nonnull panel_product)(const float *_Nonnull left, size_t left_stride, size_t rows, size_t inner,
                                 const float *_Nonnull panel, float *_Nonnull result, size_t result_stride,
                                 size_t columns, bool adding);
  /// result[i * result_stride + j] = (adding ? result : 0) + sum over k of left[i * left_stride + k] * right[k * right_stride + j]
  /// for i < rows and j < columns, one k after the other: an element's bits depend on its own row and column alone. The
  /// right side is read once, in strips of all the columns; a few rows and a thousand columns stay in the nearest cache.
  void (*_Nonnull few_rows_product)(const float *_Nonnull left, size_t left_stride, size_t rows, size_t inner,
                                    const float *_Nonnull right, size_t right_stride, float *_Nonnull result,
                                    size_t result_stride, size_t columns, bool adding);
  /// result[i * result_stride + j] = factor * (sum over k of left[i * left_stride + k] * right[k * right_stride + j])
  /// (+ result) (+ bias[j]) for i < rows and j < columns, a multiple of 16; inner > 0. Sums run from 0 on, one k after the other, each
  /// step rounded once where the set has FMA: bits that depend on an element's own row and column alone, and that
  /// OpenBLAS's small-matrix kernels have, too. `fetching` says that the right side's rows lie one behind the other,
  /// that those of the next product follow them, and that memory should be asked for these meanwhile.
  void (*_Nonnull narrow_product)(const float *_Nonnull left, size_t left_stride, size_t rows, size_t inner,
                                  const float *_Nonnull right, size_t right_stride, size_t columns, float factor,
                                  const float *_Nullable bias, float *_Nonnull result, size_t result_stride,
                                  bool adding, bool fetching);
  /// Attention of one head; returns whether all of it is finite. Where it is not, `output` holds nothing of use.
  bool (*_Nonnull head_attention)(const attention_head *_Nonnull head);
  /// One step of a recurrent layer, after its products.
  void (*_Nonnull gates)(const attention_gates *_Nonnull step);
  /// The way back through it, before its products.
  void (*_Nonnull gate_gradients)(const attention_gate_gradients *_Nonnull step);

  /// One step of Adam or AdamW, PyTorch's: with p = from and g = gradient_factor * gradient + gradient_decay * p,
  /// mean += mean_share * (g - mean), square = square_keep * square + square_share * g * g, and
  /// to = keep * p - rate * mean / (sqrt(square) / correction + epsilon). `to` may be `from`.
  void (*_Nonnull adam)(const attention_adam_step *_Nonnull step, const float *_Nonnull gradient,
                        const float *_Nonnull from, float *_Nonnull to, float *_Nonnull mean, float *_Nonnull square,
                        size_t n);
  /// One step of gradient descent, PyTorch's: with p and g as above, m = momentum * m + gradient_share * g, or g at the first
  /// step, and to = p - rate * d, where d is m, or with Nesterov's momentum g + momentum * m, or g without any (m is
  /// NULL). `to` may be `from`.
  void (*_Nonnull sgd)(const attention_sgd_step *_Nonnull step, const float *_Nonnull gradient,
                       const float *_Nonnull from, float *_Nonnull to, float *_Nullable momentum, size_t n);
  /// The sum of squares, in float64: of floats that are finite it is finite, and of those that are not all 0 it is not 0.
  double (*_Nonnull sum_of_squares)(const float *_Nonnull x, size_t n);

  /// Multiply-adds on registers alone, with as many independent chains as hide the latency.
  /// Returns the floating-point operations done (2 per lane and multiply-add); *sink defeats the optimiser.
  double (*_Nonnull fma_peak)(uint64_t iterations, float *_Nonnull sink);

  /// Reads n floats in one of `read_patterns` orders (one stream, several streams, with prefetch …); returns a
  /// value that depends on all of them.
  float (*_Nonnull read)(const float *_Nonnull x, size_t n, int pattern);
  int read_patterns;
} attention_kernels;

/// The kernels of one set, or NULL where this processor or operating system cannot run it.
const attention_kernels *_Nullable attention_kernels_for(attention_instruction_set isa);

/// What pattern 0 <= pattern < read_patterns of `read` does, in a few words.
const char *_Nonnull attention_read_pattern_name(int pattern);

/// The widest set that this processor and operating system can run.
const attention_kernels *_Nonnull attention_kernels_widest(void);

#ifdef __cplusplus
}
#endif
