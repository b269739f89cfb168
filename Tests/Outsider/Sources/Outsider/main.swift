import Attention

var generator = SeededGenerator(seed: 1)
let query = Tensor(randomNormal: [1, 12, 128, 64], using: &generator)  // [batch, heads, queries, width]
let key = Tensor(randomNormal: [1, 4, 128, 64], using: &generator)  // three query heads share a kv head
let value = Tensor(randomNormal: [1, 4, 128, 64], using: &generator)
let mask = AttentionMask.causal(.end) & .window(left: 63, right: nil)
let result = scaledDotProductAttention(query: query, key: key, value: value, mask: mask, returning: .weights)
print(result.output.shape, result.weights!.shape)  // [1, 12, 128, 64] [1, 12, 128, 128]
