// Attention of one head over so few keys that a tile of scores holds them all.

static bool head_attention_(const attention_head *head) {
  size_t keys = head->keys, columns = (keys + 15) / 16 * 16;
  transpose_(head->key, head->key_stride, head->panel, columns, keys, head->key_width);
  bool is_finite = true;
  for (size_t first = 0; first < head->queries; first += head->tile_rows) {
    size_t rows = head->queries - first < head->tile_rows ? head->queries - first : head->tile_rows;
    float *output = head->output + first * head->output_stride;
    narrow_product_(head->query + first * head->query_stride, head->query_stride, rows, head->key_width, head->panel,
                    columns, columns, head->scale, 0, head->scores, columns, false, false);
    for (size_t row = 0; row < rows; row++) {
      // Columns without a key hold what they held.
      for (size_t i = keys; i < columns; i += LANES) {
        v_put(head->scores + row * columns + i, v_set(-__builtin_inff()), columns - i < LANES ? columns - i : LANES);
      }
      head->references[row] = -__builtin_inff();
      head->sums[row] = 0;
    }
    softmax_tile_(head->scores, columns, rows, columns, head->references, head->sums, head->factors);
    narrow_product_(head->scores, columns, rows, keys, head->value, head->value_stride, head->value_width, 1,
                    0, head->values, head->value_width, false, false);
    is_finite &= finish_rows_(head->values, head->value_width, rows, head->references, head->sums, output,
                              head->output_stride, head->value_width);
  }
  return is_finite;
}
