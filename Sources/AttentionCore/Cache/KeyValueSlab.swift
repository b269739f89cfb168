import AttentionTensors

/// The memory of several pages: for each kv head, block after block, the keys of a block and then its values.
///
/// A step of generation reads the blocks of one head in order. Behind each other they are one stream for the
/// processor's prefetchers, which a jump from page to page would start anew.
final class KeyValueSlab: Sendable {
  private let storage: TensorStorage
  /// The pages that it has room for.
  let pageCount: Int
  /// The places that are free, one bit each.
  private let free: Guarded<UInt64>

  /// Pages of a slab at the most: with 8 of 128 keys, 128 wide, the run of one head is a megabyte.
  static let maximumPages = 8

  init(_ tiling: FusedTiling, heads: Int, pageCount: Int) {
    self.pageCount = pageCount
    storage = TensorStorage(minimumCapacity: pageCount * heads * KeyValueSlab.blockScalars(tiling))
    free = Guarded(UInt64(1) << UInt64(pageCount) - 1)
  }

  var byteCount: Int { storage.capacity * MemoryLayout<Float>.stride }

  /// The scalars of one head's keys and values in a block.
  static func blockScalars(_ tiling: FusedTiling) -> Int { tiling.panelScalars + tiling.valueBlockScalars }

  /// A place for a page, the first that is free; nil when there is none.
  func take() -> Int? {
    free.withLock { places in
      guard places != 0 else { return nil }
      let place = places.trailingZeroBitCount
      places &= places - 1
      return place
    }
  }

  func giveBack(_ place: Int) { free.withLock { $0 |= UInt64(1) << UInt64(place) } }

  /// Where a head's block begins.
  func block(_ tiling: FusedTiling, head: Int, place: Int) -> UnsafeMutablePointer<Float> {
    storage.base + (head * pageCount + place) * KeyValueSlab.blockScalars(tiling)
  }
}
