// Every kernel, over the vector primitives that the including file has chosen. In this order: later ones use earlier.
#include "vectors.h"

#include "exp.h"

#include "softcap.h"

#include "activations.h"

#include "additive.h"
#include "arithmetic.h"
#include "softmax.h"

#include "binary.h"
#include "masks.h"
#include "measurement.h"
#include "norms.h"

#include "columns.h"
#include "fewrows.h"
#include "narrow.h"
#include "optimizers.h"
#include "random.h"
#include "recurrent.h"
#include "tile.h"

#include "probabilities.h"
#include "transpose.h"

#include "head.h"

/// The table of a set: its tag and its printed name.
#define KERNEL_TABLE(tag, text)                                                                                        \
  {                                                                                                                    \
    .isa = (tag), .name = (text), .lanes = LANES, .exp = exp_, .softcap = softcap_, .max = max_,                       \
    .exp_sum = exp_sum_, .sum = sum_, .scale = scale_, .axpy = axpy_, .dot = dot_, .keep_allowed = keep_allowed_,      \
    .add_bias = add_bias_, .add_distance_bias = add_distance_bias_, .add_bias_sum = add_bias_sum_,                     \
    .all_finite = all_finite_, .fma_peak = fma_peak_, .read = read_, .read_patterns = READ_PATTERNS,                   \
    .layer_norm = layer_norm_, .rms_norm = rms_norm_, .layer_norm_gradient = layer_norm_gradient_,                     \
    .rms_norm_gradient = rms_norm_gradient_, .add_to_doubles = add_to_doubles_,                                        \
    .column_moments = column_moments_, .add_moments = add_moments_, .add_squares = add_squares_,                       \
    .normalise_columns = normalise_columns_, .column_gradient_sums = column_gradient_sums_,                            \
    .column_gradient = column_gradient_,                                                                               \
    .softmax = softmax_, .sum_of_exp = sum_of_exp_, .subtract_both = subtract_both_,                                   \
    .sum_of_differences = sum_of_differences_, .scale_and_shift = scale_and_shift_,                                    \
    .softmax_gradient = softmax_gradient_,                                                                             \
    .log_softmax_gradient = log_softmax_gradient_, .random_words = random_words_, .dropout = dropout_,                 \
    .transpose = transpose_, .softmax_tile = softmax_tile_, .scale_rows = scale_rows_, .merge = merge_,                \
    .finish_rows = finish_rows_, .keep_intervals = keep_intervals_, .weights_row = weights_row_, .weight = weight_,    \
    .classify_bytes = classify_bytes_, .add = add_, .subtract = subtract_, .multiply = multiply_, .divide = divide_,   \
    .additive_scores = additive_scores_, .additive_gradients = additive_gradients_,                                    \
    .score_gradients = score_gradients_, .softcap_gradients = softcap_gradients_,                                      \
    .activate = activate_, .activate_rows = activate_rows_, .activation_gradient = activation_gradient_,               \
    .panel_product = panel_product_, .few_rows_product = few_rows_product_, .narrow_product = narrow_product_,         \
    .head_attention = head_attention_,                                                                                 \
    .gates = gates_, .gate_gradients = gate_gradients_,                                                                \
    .adam = adam_, .sgd = sgd_, .sum_of_squares = sum_of_squares_                                                      \
  }
