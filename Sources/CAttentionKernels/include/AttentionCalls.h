// What kernels are told: their choices, and the arrays and numbers of calls that have many.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum attention_instruction_set {
  ATTENTION_ISA_PORTABLE = 0, // whatever the compiler's baseline has: SSE2 on x86-64, NEON on arm64
  ATTENTION_ISA_AVX2 = 1,     // AVX2 and FMA
  ATTENTION_ISA_AVX512 = 2,   // AVX-512 F, BW, VL, DQ and FMA
} attention_instruction_set;

/// What is applied to each number on its own.
typedef enum attention_activation {
  ATTENTION_IDENTITY = 0,
  ATTENTION_RELU = 1,      // max(x, 0)
  ATTENTION_GELU = 2,      // x * the share of a normal distribution below x
  ATTENTION_GELU_TANH = 3, // x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
  ATTENTION_SILU = 4,      // x / (1 + e^-x)
  ATTENTION_TANH = 5,
  ATTENTION_SIGMOID = 6,   // 1 / (1 + e^-x)
} attention_activation;

/// One of several biases: values to add, or a slope times a distance to take away.
typedef struct attention_bias {
  /// One value for each score, or one for all where the stride is 0; NULL for a distance.
  const float *_Nullable values;
  size_t stride;
  float slope;
  /// The distance of the first score, |first|.
  int32_t first;
} attention_bias;

/// The floats that layer norm keeps of a row: its mean, what is missing to the mean, and the reciprocal of its standard
/// deviation.
#define ATTENTION_LAYER_NORM_STATISTICS 3

/// Rows to be normalised, each of n >= 1 floats, one behind the other.
typedef struct attention_norm {
  const float *_Nonnull x;
  /// Added to x before anything else, or NULL; then `sum` receives the sum, and may be x or y itself.
  const float *_Nullable residual;
  float *_Nullable sum;
  /// One for each column, or NULL for 1 and 0.
  const float *_Nullable weight;
  const float *_Nullable bias;
  float epsilon;
  float *_Nonnull y;
  /// ATTENTION_LAYER_NORM_STATISTICS floats for each row of a layer norm, the reciprocal of the root mean square alone for
  /// an RMS norm; or NULL.
  float *_Nullable statistics;
  size_t rows, n;
} attention_norm;

/// The way back through rows of a norm, of n >= 1 floats each.
typedef struct attention_norm_gradient {
  const float *_Nonnull upstream;
  /// What was normalised; NULL where neither of_x nor of_weight is.
  const float *_Nullable x;
  const float *_Nonnull statistics;
  const float *_Nullable weight;
  /// Added to of_x, or NULL.
  const float *_Nullable added;
  float *_Nullable of_x;
  /// The rows' shares are added here, one after the other: n floats each, or NULL.
  float *_Nullable of_weight;
  float *_Nullable of_bias;
  size_t rows, n;
} attention_norm_gradient;

/// Rows of n columns, one behind the other, and the statistics of the columns: means, what is missing to them (or NULL),
/// and the reciprocals of their standard deviations.
typedef struct attention_columns {
  const float *_Nonnull x;
  const float *_Nonnull mean;
  const float *_Nullable rest;
  const float *_Nonnull factor;
  size_t rows, n;
} attention_columns;

/// What a step of a recurrent layer does with its gates.
typedef enum attention_cell {
  ATTENTION_ELMAN_TANH = 0, // h = tanh(a)
  ATTENTION_ELMAN_RELU = 1, // h = max(a, 0)
  ATTENTION_LSTM = 2,       // gates i, f, g, o
  ATTENTION_GRU = 3,        // gates r, z, n, the reset gate applied to the state's product
  ATTENTION_GRU_RESET = 4,  // gates r, z alone, and r times the state, where the reset gate comes before the product
  ATTENTION_GRU_UPDATE = 5, // gate n, and the new state, of the same
} attention_cell;

/// One step of some sequences, for n of their hidden columns. Row r of an array of gates stands at r times its row
/// stride, gate q of it q times its gate stride further; states and outputs are rows of `state_stride` floats.
typedef struct attention_gates {
  attention_cell cell;
  size_t rows, n;
  /// What the step's input gives to each gate.
  const float *_Nonnull inputs;
  size_t input_stride, input_gate_stride;
  /// What the state gives.
  const float *_Nonnull products;
  size_t product_stride, product_gate_stride;
  /// Added to the products, one for each column of each gate (input_gate_stride apart), or NULL.
  const float *_Nullable bias;
  const float *_Nonnull h_previous;
  float *_Nonnull h;
  /// An LSTM's cell; c may be c_previous. A GRU_RESET writes r * h_previous to c.
  const float *_Nullable c_previous;
  float *_Nullable c;
  size_t state_stride;
  /// Where the way back finds the gates: i, f, g, o; or r, z, n, and for ATTENTION_GRU the state's product of n. NULL to
  /// keep nothing, but in the GRUs of two parts, whose z of the first is read by the second.
  float *_Nullable gates;
  size_t gate_row_stride, gate_stride;
} attention_gates;

/// The way back through one step.
typedef struct attention_gate_gradients {
  attention_cell cell;
  size_t rows, n;
  /// Of the step's output, or NULL.
  const float *_Nullable upstream;
  /// Of the state that the step left; receives what flows to the state before it other than through the gates.
  float *_Nonnull h_gradient;
  float *_Nullable c_gradient;
  const float *_Nonnull h;
  const float *_Nullable h_previous;
  const float *_Nullable c;
  const float *_Nullable c_previous;
  /// For ATTENTION_GRU_RESET: of r * h_previous.
  const float *_Nullable reset_gradient;
  size_t reset_stride;
  size_t state_stride;
  const float *_Nullable gates;
  size_t gate_row_stride, gate_stride;
  /// Of the gates before their activation; for ATTENTION_GRU, `of_products` receives those of the state's products.
  float *_Nonnull of_inputs;
  float *_Nullable of_products;
  size_t gradient_stride;
} attention_gate_gradients;

/// The numbers of one step of Adam or AdamW, equal for all scalars of a parameter.
typedef struct attention_adam_step {
  float gradient_factor; // of clipping
  float gradient_decay;  // L2 decay, part of the gradient
  float keep;            // 1 - rate * decay, decoupled from the gradient
  float mean_share;      // 1 - beta1
  float square_keep;     // beta2
  float square_share;    // 1 - beta2
  float correction;      // sqrt(1 - beta2^steps)
  float epsilon;
  float rate; // rate / (1 - beta1^steps)
} attention_adam_step;

/// The numbers of one step of gradient descent, equal for all scalars of a parameter.
typedef struct attention_sgd_step {
  float gradient_factor; // of clipping
  float gradient_decay;  // L2 decay, part of the gradient
  float momentum;
  float gradient_share; // 1 - dampening
  float rate;
  bool is_first;
  bool is_nesterov;
} attention_sgd_step;

/// One head's attention over so few keys that a tile of scores holds them all: each row's softmax of
/// scale * query · keys, times the values. Rows lie `…_stride` floats apart.
typedef struct attention_head {
  const float *_Nonnull query;
  const float *_Nonnull key;
  const float *_Nonnull value;
  float *_Nonnull output;
  size_t query_stride, key_stride, value_stride, output_stride;
  size_t queries, keys;
  /// The value's is a multiple of 16.
  size_t key_width, value_width;
  float scale;
  /// Queries that are computed at once.
  size_t tile_rows;
  /// Room for the keys as columns, [key_width, columns], `columns` being `keys` rounded up to a multiple of 16; and of
  /// `tile_rows` rows for their scores [rows, columns], the weighted values [rows, value_width] and three numbers of each row.
  float *_Nonnull panel;
  float *_Nonnull scores;
  float *_Nonnull values;
  float *_Nonnull references;
  float *_Nonnull sums;
  float *_Nonnull factors;
} attention_head;

#ifdef __cplusplus
}
#endif
