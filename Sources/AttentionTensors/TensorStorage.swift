#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The memory behind a ``Tensor``: 64-byte aligned, taken from and given back to per-size free lists.
///
/// A fresh block of a few hundred kilobytes comes from the operating system as unmapped pages, and the page faults cost
/// more than a pass of arithmetic over it. So blocks are rounded up to a size class (four to each power of two, at
/// most 25% slack) and kept for the next tensor of that class, up to ``cacheLimit`` bytes in all.
public final class TensorStorage: @unchecked Sendable {
  // @unchecked: the block is written only by the tensor that uniquely owns it (copy-on-write), and read otherwise.

  /// The first scalar.
  public let base: UnsafeMutablePointer<Float>
  /// The scalars that fit: at least what was asked for.
  public let capacity: Int

  package init(minimumCapacity: Int) {
    let sizeClass = TensorStorage.sizeClass(forBytes: minimumCapacity * MemoryLayout<Float>.stride)
    base = TensorStorage.freeBlocks.withLock { $0.take(sizeClass) } ?? TensorStorage.allocate(bytes: sizeClass)
    capacity = sizeClass / MemoryLayout<Float>.stride
  }

  deinit {
    let bytes = capacity * MemoryLayout<Float>.stride
    if !TensorStorage.freeBlocks.withLock({ $0.put(base, sizeClass: bytes) }) { free(base) }
  }

  /// The bytes kept for reuse at the most; setting it lower frees what is over it. 256 MiB unless set.
  public static var cacheLimit: Int {
    get { freeBlocks.withLock { $0.limit } }
    set {
      require(newValue >= 0, "TensorStorage: a cache limit of \(newValue) bytes is negative")
      for block in freeBlocks.withLock({ $0.shrink(to: newValue) }) { free(block.base) }
    }
  }

  /// The bytes that are kept for reuse now.
  public static var cachedBytes: Int { freeBlocks.withLock { $0.bytes } }

  /// Gives every block that is kept for reuse back to the operating system.
  public static func releaseCache() {
    let limit = cacheLimit
    cacheLimit = 0
    cacheLimit = limit
  }

  /// The smallest of 4, 5, 6 or 7 times a power of two that holds `bytes`, and 64 at least.
  package static func sizeClass(forBytes bytes: Int) -> Int {
    guard bytes > 64 else { return 64 }
    let quarter = max(64, 1 << (Int.bitWidth - (bytes - 1).leadingZeroBitCount - 3))
    let (rounded, overflow) = bytes.addingReportingOverflow(quarter - 1)
    require(!overflow, "TensorStorage: \(bytes) bytes are more than memory can hold")
    return rounded / quarter * quarter
  }

  private static func allocate(bytes: Int) -> UnsafeMutablePointer<Float> {
    var block: UnsafeMutableRawPointer?
    guard posix_memalign(&block, 64, bytes) == 0, let block else {
      fatalError("TensorStorage: the system has no \(bytes) bytes left")
    }
    return block.bindMemory(to: Float.self, capacity: bytes / MemoryLayout<Float>.stride)
  }

  private static let freeBlocks = Guarded(FreeBlocks())

  private struct Block: @unchecked Sendable { let base: UnsafeMutablePointer<Float> }

  /// The free lists, by size class in bytes.
  private struct FreeBlocks: Sendable {
    var limit = 256 << 20
    private(set) var bytes = 0
    private var blocks: [Int: [Block]] = [:]

    mutating func take(_ sizeClass: Int) -> UnsafeMutablePointer<Float>? {
      guard let block = blocks[sizeClass]?.popLast() else { return nil }
      bytes -= sizeClass
      return block.base
    }

    /// Keeps the block, or answers false when that would pass the limit.
    mutating func put(_ base: UnsafeMutablePointer<Float>, sizeClass: Int) -> Bool {
      guard bytes + sizeClass <= limit else { return false }
      bytes += sizeClass
      blocks[sizeClass, default: []].append(Block(base: base))
      return true
    }

    /// Sets the limit and takes out what is over it, largest blocks first; the caller frees them outside the lock.
    mutating func shrink(to newLimit: Int) -> [Block] {
      limit = newLimit
      var excess: [Block] = []
      for sizeClass in blocks.keys.sorted(by: >) {
        while bytes > limit, let block = take(sizeClass) { excess.append(Block(base: block)) }
      }
      return excess
    }
  }
}
