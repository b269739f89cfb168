import COpenBLAS

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Which products stay on the fast path of an OpenBLAS core: the one place that knows.
///
/// On the AVX-512 cores, `cblas_sgemm` takes small-matrix kernels that pack nothing while M·N·K ≤ 1,000,000 and the
/// right side is not transposed. There a row's bits do not depend on the rows beside it, as long as the right side is a
/// whole number of 16 columns wide and every call stays on that path. Other cores take one path for every size, and
/// want larger tiles.
package struct ProductTiles: Sendable {
  /// Those of the OpenBLAS that runs.
  package static let current = ProductTiles(core: OpenBLAS.coreName)

  /// The name of the core.
  package let core: String
  /// The multiply-adds of a small-matrix product at the most; nil on cores without such kernels.
  package let smallVolume: Int?

  /// The columns of a panel that is read in order: what a small-matrix kernel takes at once, or all where there is none.
  package let panelColumns: Int

  /// Whether our own kernel takes OpenBLAS's place over panels and short heads: where it has AVX-512, it is as fast as the
  /// small-matrix kernels and has their bits, a call of it costs less, and it asks memory for the next panel meanwhile.
  package let hasNarrowProducts: Bool

  package init(core: String) {
    self.core = core
    smallVolume = ["SkylakeX", "Cooperlake", "SapphireRapids"].contains(core) ? 1_000_000 : nil
    panelColumns = smallVolume == nil ? .max : 64
    hasNarrowProducts = smallVolume != nil && KernelSet.current == .avx512
  }

  /// Columns padded so that a row's bits do not depend on the rows beside it.
  package static func padded(_ columns: Int) -> Int { (columns + 15) / 16 * 16 }

  /// The rows that a product with this right side may have on the fast path: a multiple of 8, `limit` at the most.
  package func rows(columns: Int, inner: Int, limit: Int) -> Int {
    guard let smallVolume else { return limit }
    return max(8, min(limit, smallVolume / max(1, columns * inner) / 8 * 8))
  }

  /// The columns of a panel for an inner dimension: as wide as leaves room for 56 rows, `limit` at the most.
  package func panelColumns(inner: Int, limit: Int) -> Int {
    guard let smallVolume else { return limit }
    var columns = limit
    while columns > 16, columns * inner * 56 > smallVolume { columns /= 2 }
    return columns
  }
}

extension MatrixProduct {
  /// result = factor · left · right + (adding ? result : 0), row-major, for tiles whose extents were checked before;
  /// either side may be the transpose of what is stored.
  ///
  /// - Precondition: every number fits 32 bits, and none is 0; as for ``multiply(_:_:transposingRight:factor:into:)``.
  @inline(__always)
  package static func multiplyTile(
    rows: Int, columns: Int, inner: Int, factor: Float = 1, _ left: UnsafePointer<Float>, leftStride: Int,
    transposingLeft: Bool = false, _ right: UnsafePointer<Float>, rightStride: Int, transposingRight: Bool = false,
    into result: UnsafeMutablePointer<Float>, resultStride: Int, adding: Bool = false
  ) {
    // Small-matrix kernels overwrite. Other cores clear the result first, scalar by scalar (a twentieth of a tile's time),
    // unless they are told to add.
    let clears = !adding && ProductTiles.current.smallVolume == nil
    if clears {
      for row in 0..<rows { memset(result + row * resultStride, 0, columns * MemoryLayout<Float>.stride) }
    }
    OpenBLAS.takingTurns {
      cblas_sgemm(
        CblasRowMajor, transposingLeft ? CblasTrans : CblasNoTrans, transposingRight ? CblasTrans : CblasNoTrans,
        Int32(truncatingIfNeeded: rows), Int32(truncatingIfNeeded: columns), Int32(truncatingIfNeeded: inner), factor,
        left, Int32(truncatingIfNeeded: leftStride), right, Int32(truncatingIfNeeded: rightStride),
        adding || clears ? 1 : 0,
        result, Int32(truncatingIfNeeded: resultStride))
    }
  }
}
