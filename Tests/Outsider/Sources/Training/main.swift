import Attention

var generator = SeededGenerator(seed: 1)
var block = EncoderBlock(BlockConfiguration(width: 16, heads: 2), using: &generator)
let layout = SequenceLayout(lengths: [5, 3])  // two sequences, end to end
let x = Tensor(randomNormal: [8, 16], using: &generator)
let before = (block(x, layout: layout) - x * 0.5).squared().mean()
for _ in 0..<200 {
  let tracked = block.tracked()
  let loss = (tracked(x, layout: layout) - x * 0.5).squared().mean()  // learn to halve its input
  block.update(by: gradients(of: loss, withRespectTo: tracked)) { $0 - 0.1 * $1 }
}
let after = (block(x, layout: layout) - x * 0.5).squared().mean()
print(after.scalars[0] < 0.5 * before.scalars[0])  // true
