#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The memory behind a ``Tensor``: 64-byte aligned, taken from and given back to per-size free lists.
///
/// A fresh block of a few hundred kilobytes comes from the operating system as unmapped pages, and the page faults cost
/// more than a pass of arithmetic over it. So blocks are rounded up to a size class (four to each power of two, at
/// most 25% slack) and kept for the next tensor of that class, up to ``cacheLimit`` bytes in all. When they are full, a
/// block that comes back displaces blocks of the classes that have been out of use longest.
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
    for block in TensorStorage.freeBlocks.withLock({ $0.put(base, sizeClass: bytes) }) { free(block.base) }
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

  /// The blocks of a size class that are free.
  private struct FreeList: Sendable {
    var blocks: [Block] = []
    /// The cache's clock when a block of this class last came or went.
    var lastUse = 0
  }

  /// The free lists of all size classes.
  private struct FreeBlocks: Sendable {
    var limit = 256 << 20
    private(set) var bytes = 0
    /// By ``place(of:)``.
    private var lists = [FreeList](repeating: FreeList(), count: 4 * Int.bitWidth)
    /// Counts what comes and goes.
    private var clock = 0

    mutating func take(_ sizeClass: Int) -> UnsafeMutablePointer<Float>? {
      guard let block = remove(from: sizeClass) else { return nil }
      clock += 1
      lists[FreeBlocks.place(of: sizeClass)].lastUse = clock
      return block.base
    }

    /// Keeps the block, and answers what must go for it: nothing while there is room; then classes that have been idle
    /// for a while, the stalest first; or else the block itself. The caller frees it outside the lock.
    mutating func put(_ base: UnsafeMutablePointer<Float>, sizeClass: Int) -> [Block] {
      let block = Block(base: base)
      guard sizeClass <= limit else { return [block] }
      clock += 1
      let place = FreeBlocks.place(of: sizeClass)
      lists[place].lastUse = clock
      var displaced: [Block] = []
      while bytes + sizeClass > limit {
        guard let idle = stalestClass(idleSince: clock - FreeBlocks.idleUses) else { return displaced + [block] }
        while bytes + sizeClass > limit, let other = remove(from: idle) { displaced.append(other) }
      }
      bytes += sizeClass
      lists[place].blocks.append(block)
      return displaced
    }

    /// A class is idle when so many blocks of others have come and gone since one of its own did. Classes that are used
    /// in turns do not displace each other.
    private static let idleUses = 64

    /// Looked for only when the cache is full.
    private func stalestClass(idleSince last: Int) -> Int? {
      let idle = lists.indices.filter { !lists[$0].blocks.isEmpty && lists[$0].lastUse <= last }
      return idle.min { lists[$0].lastUse < lists[$1].lastUse }.map(FreeBlocks.sizeClass(at:))
    }

    /// Four places for each power of two.
    private static func place(of sizeClass: Int) -> Int {
      let exponent = Int.bitWidth - 1 - sizeClass.leadingZeroBitCount
      return 4 * exponent + (sizeClass >> (exponent - 2)) & 3
    }

    private static func sizeClass(at place: Int) -> Int { (4 + place & 3) << (place / 4 - 2) }

    /// Sets the limit and takes out what is over it, largest blocks first; the caller frees them outside the lock.
    mutating func shrink(to newLimit: Int) -> [Block] {
      limit = newLimit
      var excess: [Block] = []
      for place in lists.indices.reversed() where !lists[place].blocks.isEmpty {
        let sizeClass = FreeBlocks.sizeClass(at: place)
        while bytes > limit, let block = remove(from: sizeClass) { excess.append(block) }
      }
      return excess
    }

    private mutating func remove(from sizeClass: Int) -> Block? {
      guard let block = lists[FreeBlocks.place(of: sizeClass)].blocks.popLast() else { return nil }
      bytes -= sizeClass
      return block
    }
  }
}
