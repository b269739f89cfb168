import AttentionTensors

/// Room for some packed blocks of one sequence and kv head, of which a task packs each when it first needs it. A later
/// block takes the place of an earlier one: tiles go through keys in order, and those of a window leave early ones behind.
struct PackedSlots {
  private let count: Int
  private let scalars: Int
  /// The block that each slot holds, or −1.
  private let blocks: UnsafeMutablePointer<Int>
  private let memory: UnsafeMutablePointer<Float>

  /// The scalars of memory that slots take.
  static func scalars(_ tiling: FusedTiling, slots: Int) -> Int {
    tags(slots) + slots * tiling.packedScalars(blocks: 1)
  }

  private static func tags(_ slots: Int) -> Int {
    ProductTiles.padded(slots * MemoryLayout<Int>.stride / MemoryLayout<Float>.stride)
  }

  /// - Parameter memory: room for ``scalars(_:slots:)``, 64-byte aligned.
  init(_ tiling: FusedTiling, slots: Int, memory: UnsafeMutablePointer<Float>) {
    count = slots
    scalars = tiling.packedScalars(blocks: 1)
    blocks = UnsafeMutableRawPointer(memory).bindMemory(to: Int.self, capacity: slots)
    blocks.update(repeating: -1, count: slots)
    self.memory = memory + PackedSlots.tags(slots)
  }

  /// Where a block is, packed now unless it was.
  @inline(__always)
  func memory(of block: Int, pack: (Int, UnsafeMutablePointer<Float>) -> Void) -> UnsafeMutablePointer<Float> {
    let slot = block % count
    let memory = memory + slot * scalars
    if blocks[slot] != block {
      pack(block, memory)
      blocks[slot] = block
    }
    return memory
  }
}
