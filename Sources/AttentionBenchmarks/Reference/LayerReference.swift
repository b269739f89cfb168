import Attention
import Foundation

/// A layer in float64: its output, and slopes along random directions to hold gradients against.
package struct LayerReference: Verifiable {
  package let input: LayerInput
  private let parameters: [String: [Double]]
  private let x: [Double]

  package init(_ input: LayerInput) {
    self.input = input
    parameters = Dictionary(
      uniqueKeysWithValues: input.parameters.map { ($0.name, $0.tensor.scalars.map(Double.init)) })
    x = input.x.scalars.map(Double.init)
  }

  package var outputRows: Int { input.sizes.rows }
  package var valueWidth: Int { input.sizes.outputs }
  package var rowWork: Double {
    input.sizes.kind.isRowwise
      ? 16 * Double(input.sizes.inputs) : input.sizes.forwardOperations / 2 / Double(input.sizes.rows)
  }

  /// Whole sequences, or single rows where those have nothing to do with each other.
  package func sampledRows(seed: UInt64) -> [Int] {
    guard !input.sizes.kind.isRowwise else {
      return Verification.sample(min(outputRows, max(16, Int(1.2e8 / rowWork))), of: outputRows, seed: seed)
    }
    return sequences(multiplications: 6e8, seed: seed).flatMap { Array(input.layout.range(of: $0)) }.sorted()
  }

  /// Sequences drawn by the seed whose forward passes together take no more multiplications; at least the shortest.
  private func sequences(multiplications: Double, seed: UInt64) -> [Int] {
    var generator = SeededGenerator(seed: seed)
    var (left, chosen) = (multiplications, [Int]())
    for sequence in input.layout.lengths.indices.shuffled(using: &generator) {
      let cost = rowWork * Double(input.layout.lengths[sequence])
      guard cost <= left else { continue }
      left -= cost
      chosen.append(sequence)
    }
    if chosen.isEmpty {
      let lengths = input.layout.lengths
      chosen = lengths.indices.min { lengths[$0] < lengths[$1] }.map { [$0] } ?? []
    }
    return chosen.sorted()
  }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    let reference = ReferenceLayers(parameters: parameters)
    let width = valueWidth
    guard !input.sizes.kind.isRowwise else {
      return WorkerPool.shared.forEachWithoutProducts(rows.count, inline: false) { check(rows[$0], row(rows[$0])) }
    }
    let wanted = Set(rows)
    let sequences = input.layout.lengths.indices.filter { input.layout.range(of: $0).contains { wanted.contains($0) } }
    WorkerPool.shared.forEachWithoutProducts(sequences.count, inline: false) { index in
      let range = input.layout.range(of: sequences[index])
      let output = sequence(sequences[index], reference, x)
      for row in range where wanted.contains(row) {
        let start = (row - range.lowerBound) * width
        check(row, Array(output[start..<start + width]))
      }
    }
  }

  package func runNaively() -> Tensor? { nil }

  /// The output of one sequence.
  private func sequence(_ sequence: Int, _ reference: ReferenceLayers, _ x: [Double]) -> [Double] {
    let (sizes, range) = (input.sizes, input.layout.range(of: sequence))
    let rows = Array(x[range.lowerBound * sizes.inputs..<range.upperBound * sizes.inputs])
    switch sizes.kind {
    case .block, .preblock:
      return reference.block(
        rows, width: sizes.sizes[1], heads: sizes.sizes[2], feedForward: sizes.sizes[3], isPre: sizes.kind == .preblock)
    default: return reference.recurrent(sizes.kind, rows, inputs: sizes.inputs, hidden: sizes.outputs)
    }
  }

  /// One row of an operation on rows.
  private func row(_ index: Int) -> [Double] {
    let width = input.sizes.inputs
    let row = Array(x[index * width..<(index + 1) * width])
    switch input.sizes.kind {
    case .layernorm:
      return ReferenceLayers.layerNorm(
        row, width: width, weight: parameters["weight"] ?? [], bias: parameters["bias"] ?? [])
    case .rmsnorm:
      let scale = (row.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-5).squareRoot()
      return zip(row, parameters["weight"] ?? []).map { $0 / scale * $1 }
    case .softmax:
      let largest = row.max() ?? 0
      let weights = row.map { exp($0 - largest) }
      let sum = weights.reduce(0, +)
      return weights.map { $0 / sum }
    default: return row.map { Activation.gelu.reference($0) }
    }
  }

  // MARK: Gradients

  /// How far gradients are from float64's.
  package struct SlopeCheck: Sendable, Equatable {
    /// The largest error over the parameters and the input, each along a random direction: the distance from the slope of
    /// the output's product with a given gradient, over the root of the sum of squares that the slope is the sum of.
    package let error: Double
    /// The sequences that the gradient flowed into.
    package let sequences: Int

    /// What float32 gradients reach with room to spare, and one that lacks a term does not.
    package static let tolerance = 2e-5
  }

  /// Multiplications of the reference that take about a second.
  private static let slopeWork = 4e9

  /// Compares gradients with slopes by central differences; nil where the reference would take too long.
  ///
  /// - Parameter gradients: gives, for a gradient of the output, those of the parameters in their order and of the input.
  package func checkSlopes(seed: UInt64, gradients: (_ upstream: Tensor) -> [Tensor]) -> SlopeCheck? {
    let names = input.parameters.map(\.name)
    let evaluations = Double(2 * (names.count + 1))
    let chosen = sequences(multiplications: Self.slopeWork / evaluations, seed: seed ^ 1)
    let cost = chosen.reduce(0) { $0 + rowWork * Double(input.layout.lengths[$1]) }
    guard !chosen.isEmpty, cost * evaluations <= 4 * Self.slopeWork else { return nil }
    // The gradient flows into these sequences alone.
    var upstream = Tensor(zeros: [outputRows, valueWidth])
    let flowing = input.upstream.scalars
    upstream.withUnsafeMutableBufferPointer { buffer in
      for sequence in chosen {
        let range = input.layout.range(of: sequence)
        for index in range.lowerBound * valueWidth..<range.upperBound * valueWidth { buffer[index] = flowing[index] }
      }
    }
    let found = gradients(upstream).map { $0.scalars.map(Double.init) }
    require(
      found.map(\.count) == input.parameters.map(\.tensor.count) + [x.count],
      "checkSlopes: gradients of \(found.map(\.count)) scalars")
    var generator = SeededGenerator(seed: seed ^ 2)
    let directions = found.map { gradient in
      Tensor(randomNormal: [gradient.count], using: &generator).scalars.map(Double.init)
    }
    let step = 1e-5
    let values = Guarded([Double](repeating: 0, count: 2 * found.count))
    WorkerPool.shared.forEachWithoutProducts(2 * found.count, inline: false) { task in
      let (place, isBack) = task.quotientAndRemainder(dividingBy: 2)
      let factor = isBack == 1 ? -step : step
      func moved(_ values: [Double]) -> [Double] { zip(values, directions[place]).map { $0 + factor * $1 } }
      var (parameters, x) = (parameters, x)
      if place < names.count {
        parameters[names[place]] = moved(parameters[names[place]] ?? [])
      } else {
        x = moved(x)
      }
      let reference = ReferenceLayers(parameters: parameters)
      var sum = 0.0
      for sequence in chosen {
        let start = input.layout.range(of: sequence).lowerBound * valueWidth
        for (index, value) in self.sequence(sequence, reference, x).enumerated() {
          sum += value * Double(flowing[start + index])
        }
      }
      let result = sum
      values.withLock { $0[task] = result }
    }
    let sums = values.withLock { $0 }
    let errors = found.indices.map { place in
      let slope = (sums[2 * place] - sums[2 * place + 1]) / (2 * step)
      let terms = zip(found[place], directions[place]).map { $0 * $1 }
      let size = terms.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let distance = abs(terms.reduce(0, +) - slope)
      // Where the slope is not 0, gradients of 0 are wrong by all of it.
      return distance.isFinite ? distance / max(size, abs(slope), 1e-30) : .infinity
    }
    return SlopeCheck(error: errors.max() ?? .infinity, sequences: chosen.count)
  }
}
