import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The unfinished softmax of some rows: Σ e^(score − reference)·value, and Σ e^(score − reference).
struct RowSums {
  /// `[rows, width]`.
  let output: UnsafeMutablePointer<Float>
  /// Near each row's largest score; −∞ while it has seen none.
  let references: UnsafeMutablePointer<Float>
  let sums: UnsafeMutablePointer<Float>

  static func scalars(rows: Int, width: Int) -> Int { rows * width + 2 * ProductTiles.padded(rows) }

  init(output: UnsafeMutablePointer<Float>, references: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>)
  {
    self.output = output
    self.references = references
    self.sums = sums
  }

  /// In one piece of memory of ``scalars(rows:width:)``.
  init(memory: UnsafeMutablePointer<Float>, rows: Int, width: Int) {
    self.init(
      output: memory, references: memory + rows * width,
      sums: memory + rows * width + ProductTiles.padded(rows))
  }

  func clear(rows: Int, width: Int) {
    output.update(repeating: 0, count: rows * width)
    references.update(repeating: -.infinity, count: rows)
    sums.update(repeating: 0, count: rows)
  }

  /// Takes in the sums over later keys. A row that saw nothing in one of the two keeps the bits of the other.
  func merge(_ later: RowSums, rows: Int, width: Int, kernels: UnsafePointer<attention_kernels>) {
    for row in 0..<rows {
      let (reference, other) = (references[row], later.references[row])
      if other == -.infinity, later.sums[row] == 0 { continue }
      let target = output + row * width
      if reference == -.infinity, sums[row] == 0 {
        target.update(from: later.output + row * width, count: width)
        references[row] = other
        sums[row] = later.sums[row]
        continue
      }
      let highest = max(reference, other)
      // Of ∞ − ∞ nothing comes but NaN, which is what such rows are.
      let (mine, theirs) = (kernels.pointee.weight(reference - highest), kernels.pointee.weight(other - highest))
      kernels.pointee.merge(target, mine, later.output + row * width, theirs, width)
      sums[row] = mine * sums[row] + theirs * later.sums[row]
      references[row] = highest
    }
  }
}
