import Attention

/// A product whose speed counts as what the machine can do: the fixed, named list that percentages refer to.
public struct GEMMTile: Sendable, Hashable {
  /// Rows of the left factor.
  public let rows: Int
  /// Columns of the result.
  public let columns: Int
  /// The dimension summed over.
  public let inner: Int
  /// Whether the right factor is transposed, as keys are in Q·Kᵀ.
  public let isRightTransposed: Bool

  /// As in the design: "NN 64×128×64" is 64 rows, 128 columns, 64 summed over, nothing transposed.
  public var name: String { "\(call) \(rows)×\(columns)×\(inner)" }

  /// "NN" or "NT", the letters of BLAS for what is transposed.
  public var call: String { isRightTransposed ? "NT" : "NN" }

  /// Floating-point operations of one product.
  public var operations: Double { 2 * Double(rows) * Double(columns) * Double(inner) }

  /// Tiles for OpenBLAS's small-matrix kernels, tiles for its packed ones as other cores run them, and a large product.
  public static let all = [
    GEMMTile(rows: 64, columns: 128, inner: 64, isRightTransposed: false),
    GEMMTile(rows: 64, columns: 64, inner: 128, isRightTransposed: false),
    GEMMTile(rows: 32, columns: 480, inner: 64, isRightTransposed: false),
    GEMMTile(rows: 32, columns: 448, inner: 64, isRightTransposed: false),
    GEMMTile(rows: 120, columns: 64, inner: 128, isRightTransposed: false),
    GEMMTile(rows: 96, columns: 128, inner: 64, isRightTransposed: false),
    GEMMTile(rows: 256, columns: 512, inner: 64, isRightTransposed: true),
    GEMMTile(rows: 256, columns: 64, inner: 512, isRightTransposed: false),
    GEMMTile(rows: 1024, columns: 1024, inner: 1024, isRightTransposed: false),
  ]

  /// The work of computing the product on every thread at once, on buffers of its own each.
  func work(threads: Int, repeats: Int, seed: UInt64) -> TimedWork {
    let buffers = (0..<threads).map { TileBuffers(self, seed: seed &+ UInt64($0)) }
    return TimedWork(name, repeats: repeats, budget: 1, sampleSeconds: 0.008) { iterations in
      WorkerPool.shared.forEach(threads) { index in
        for _ in 0..<iterations { buffers[index].multiply() }
      }
    }
  }
}

/// The operands of one thread.
private final class TileBuffers: @unchecked Sendable {
  // @unchecked: one index of a job at a time writes to the result.
  private let tile: GEMMTile
  private let left: Tensor
  private let right: Tensor
  private let result: TensorStorage

  init(_ tile: GEMMTile, seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    self.tile = tile
    left = Tensor(randomUniform: [tile.rows, tile.inner], in: -1..<1, using: &generator)
    right = Tensor(
      randomUniform: tile.isRightTransposed ? [tile.columns, tile.inner] : [tile.inner, tile.columns], in: -1..<1,
      using: &generator)
    result = TensorStorage(minimumCapacity: tile.rows * tile.columns)
  }

  func multiply() {
    MatrixProduct.multiply(
      MatrixView(base: left.unsafeBase, rows: tile.rows, columns: tile.inner, rowStride: tile.inner),
      MatrixView(
        base: right.unsafeBase, rows: right.shape[0], columns: right.shape[1], rowStride: right.shape[1]),
      transposingRight: tile.isRightTransposed,
      into: MutableMatrixView(base: result.base, rows: tile.rows, columns: tile.columns, rowStride: tile.columns))
  }
}
