import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The unfinished softmax of rows of queries over some of the keys: what machines that hold different keys of one
/// sequence exchange (Rabe and Staats, 2112.05682; Dao et al., 2205.14135; Liu et al., 2310.01889).
///
///     var partial = partialAttention(query: q, key: k1, value: v1, positions: 0..<4096, keyCount: 8192)
///     partial.merge(partialAttention(query: q, key: k2, value: v2, positions: 4096..<8192))
///     let output = partial.finished().output
///
/// Merging is associative and commutative but for rounding. **Bits:** on cores with small-matrix kernels
/// (`OpenBLAS.hasSmallMatrixKernels`), slices of one ``grain(keyWidth:valueWidth:)`` each, on multiples of it and merged
/// in order, give the very bits of the call over all keys; the first slice may be several grains long. A later slice of
/// several grains has summed them up already, in another order than the whole call: it agrees within the tolerance, as
/// any cut does.
///
/// **Overflow:** ``output`` is not divided by ``sum`` yet, and each of its weights may be as large as e⁶. Where their sum
/// with the values passes the largest float, 3.4e38, it is infinite, and so is the finished output (or NaN, where a later
/// slice has far larger scores); the call over all keys does not overflow. An infinite value whose weight is 0 in float32
/// beside later scores has left its infinity, or NaN, in the sums before those scores were seen: where the call over all
/// keys gives one of the two, the merged sums may give the other.
public struct PartialAttention: Sendable {
  /// `[B, Hq, Lq, dv]`: Σ e^(score − maximum)·value over the visible keys. 0 where there are none; NaN where there are
  /// some, all with a score of −∞.
  public private(set) var output: Tensor
  /// `[B, Hq, Lq]`: what the scores are compared with. At most 6 below the largest visible score, and never above it; −∞
  /// where there is no score but −∞, +∞ or NaN where there is one such.
  public private(set) var maximum: Tensor
  /// `[B, Hq, Lq]`: Σ e^(score − maximum) over the visible keys, 0 where there are none.
  public private(set) var sum: Tensor

  /// Puts together what another machine computed.
  ///
  /// - Precondition: `output` is `[B, Hq, Lq, dv]`, the others `[B, Hq, Lq]`.
  public init(output: Tensor, maximum: Tensor, sum: Tensor) {
    require(
      output.rank == 4 && maximum.shape == Array(output.shape.dropLast()) && sum.shape == maximum.shape,
      """
      PartialAttention: output \(output.shape), maximum \(maximum.shape), sum \(sum.shape) are not [B, Hq, Lq, dv], \
      [B, Hq, Lq], [B, Hq, Lq]
      """)
    self.output = output
    self.maximum = maximum
    self.sum = sum
  }

  /// The keys whose sums run together, counted from the sequence's first: slices of as many, on multiples of it, give the
  /// bits of the call over all keys.
  ///
  /// - Precondition: the widths are positive.
  public static func grain(keyWidth: Int, valueWidth: Int) -> Int {
    require(
      keyWidth > 0 && valueWidth > 0,
      "PartialAttention: there is no grain for keys \(keyWidth) and values \(valueWidth) wide")
    return FusedTiling(keyWidth: keyWidth, valueWidth: valueWidth).segmentKeys
  }

  /// Takes in the sums of the same queries over other keys: later ones, for the bits of the call over all keys; in any
  /// order otherwise. O(B · Hq · Lq · dv).
  ///
  /// - Precondition: the shapes are equal, and no key was summed in both.
  public mutating func merge(_ later: PartialAttention) {
    require(
      output.shape == later.output.shape,
      "PartialAttention: sums of \(output.shape) and \(later.output.shape) cannot be merged")
    let (count, width) = (sum.count, output.shape[3])
    nonisolated(unsafe) let theirs = later.rowSums
    withRowSums { sums in
      nonisolated(unsafe) let sums = sums
      PartialAttention.forEachRow(count, width: width) { row in
        sums.row(row, width: width).mergePartial(theirs.row(row, width: width), width: width)
      }
    }
    withExtendedLifetime(later) {}
  }

  /// The attention over all keys that were summed: the output, 0 where a query saw none, and the log-sum-exp, −∞ there.
  public func finished() -> AttentionResult {
    let width = output.shape[3]
    nonisolated(unsafe) let sums = rowSums
    var finished = Tensor(uninitialized: output.shape) { _ in }
    var logSumExp = Tensor(uninitialized: maximum.shape) { _ in }
    finished.withUnsafeMutableBufferPointer { output in
      logSumExp.withUnsafeMutableBufferPointer { logSumExp in
        nonisolated(unsafe) let (output, logSumExp) = (output.baseAddress!, logSumExp.baseAddress!)
        PartialAttention.forEachRow(sum.count, width: width) { row in
          logSumExp[row] = sums.row(row, width: width).finish(into: output + row * width, width: width)
        }
      }
    }
    withExtendedLifetime(self) {}
    return AttentionResult(output: finished, logSumExp: logSumExp, weights: nil, scores: [:])
  }

  /// The sums as the fused path has them, for reading only.
  private var rowSums: RowSums {
    RowSums(
      output: UnsafeMutablePointer(mutating: output.unsafeBase),
      references: UnsafeMutablePointer(mutating: maximum.unsafeBase),
      sums: UnsafeMutablePointer(mutating: sum.unsafeBase))
  }

  private mutating func withRowSums(_ body: (RowSums) -> Void) {
    output.withUnsafeMutableBufferPointer { output in
      maximum.withUnsafeMutableBufferPointer { maximum in
        sum.withUnsafeMutableBufferPointer { sum in
          body(RowSums(output: output.baseAddress!, references: maximum.baseAddress!, sums: sum.baseAddress!))
        }
      }
    }
  }

  private static func forEachRow(_ count: Int, width: Int, _ body: @Sendable (Int) -> Void) {
    let together = max(1, (1 << 14) / max(1, width))
    WorkerPool.shared.forEachWithoutProducts((count + together - 1) / together, inline: count * width < 1 << 17) {
      index in
      for row in index * together..<min(count, (index + 1) * together) { body(row) }
    }
  }
}

extension RowSums {
  fileprivate func row(_ row: Int, width: Int) -> RowSums {
    RowSums(output: output + row * width, references: references + row, sums: sums + row)
  }

  /// Whether a row has summed nothing: it saw no key, or only scores of −∞, and then its output is NaN.
  private var isEmpty: Bool { references.pointee == -.infinity && sums.pointee == 0 }

  /// ``merge(_:rows:width:kernels:)`` of one row whose mask is not at hand any more.
  fileprivate func mergePartial(_ later: RowSums, width: Int) {
    if later.isEmpty {
      if isEmpty, width > 0, later.output.pointee.isNaN { output.update(from: later.output, count: width) }
    } else if references.pointee.isNaN || later.references.pointee.isNaN {
      output.update(repeating: .nan, count: width)
      references.pointee = .nan
      sums.pointee = .nan
    } else {
      merge(later, rows: 1, width: width, kernels: KernelSet.kernels)
    }
  }

  /// Writes the output of one row, and answers its log-sum-exp.
  fileprivate func finish(into target: UnsafeMutablePointer<Float>, width: Int) -> Float {
    let (maximum, sum) = (references.pointee, sums.pointee)
    if isEmpty {
      target.update(from: output, count: width)
    } else if maximum.isFinite {
      _ = KernelSet.kernels.pointee.finish_rows(output, 0, 1, references, sums, target, 0, width)
      return Float(Double(maximum) + log(Double(sum)))
    } else {
      target.update(repeating: .nan, count: width)
    }
    return maximum
  }
}

extension FusedTile {
  /// Writes the sums of the rows at hand as they are.
  func write(_ sums: RowSums, to partial: (maximum: AttentionProblem.Output, sum: AttentionProblem.Output)) {
    var maxima: [Float]?
    for (index, row) in rows.enumerated() {
      let place = place(row)
      let (reference, sum) = (sums.references[index], sums.sums[index])
      let target = problem.output.row(sequence: sequence, head: place.head, row: place.query)
      if reference == -.infinity, sum == 0 {
        target.update(repeating: seesNothing(index) ? 0 : .nan, count: tiling.valueWidth)
      } else {
        kernels.pointee.scale(
          sums.output + index * tiling.paddedValueWidth, factors[index], target, tiling.valueWidth)
      }
      // A sum of NaN comes of a score that is NaN or +∞; the reference does not tell which.
      partial.maximum.row(sequence: sequence, head: place.head, row: place.query).pointee =
        sum.isNaN ? maximum(index, of: &maxima) : reference
      partial.sum.row(sequence: sequence, head: place.head, row: place.query).pointee = sum
    }
  }
}
