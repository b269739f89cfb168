import Attention
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How fast all threads together read memory: the limit of attention with one query.
package struct ReadBandwidth {
  /// One for each of the kernels' patterns, or none where there is no memory for them.
  let works: [TimedWork]
  private let bytes: Int

  /// How much is read: a quarter of what is left of `allowed` bytes where `taken` are in use, and at most 512 MiB, far
  /// more than any cache holds. Nil where that is less than 64 MiB, which would measure the caches.
  package static func bytes(allowed: Int, taken: Int) -> Int? {
    let bytes = min(512, (max(0, allowed - taken) / 4) >> 20) << 20
    return bytes >= 64 << 20 ? bytes : nil
  }

  private static let chunks = 64

  /// Takes the memory, which is held as long as the works are.
  ///
  /// - Parameters:
  ///   - taken: the bytes of ``CaseLimits/defaultMemory`` that are in use.
  ///   - repeats: the samples of each pattern.
  init(taken: Int, repeats: Int) {
    TensorStorage.releaseCache()
    guard let bytes = ReadBandwidth.bytes(allowed: CaseLimits.defaultMemory, taken: taken),
      let buffer = Buffer(bytes: bytes)
    else {
      (works, bytes) = ([], 0)
      return
    }
    self.bytes = bytes
    let count = bytes / MemoryLayout<Float>.stride / ReadBandwidth.chunks
    // Written once: pages that were never written are all one page of zeros, which the cache holds.
    WorkerPool.shared.forEach(ReadBandwidth.chunks) { chunk in
      (buffer.base + chunk * count).update(repeating: 1, count: count)
    }
    works = (0..<KernelSet.kernels.pointee.read_patterns).map { pattern in
      TimedWork("reads of memory, pattern \(pattern)", repeats: repeats, budget: nil) { iterations in
        for _ in 0..<iterations {
          WorkerPool.shared.forEach(ReadBandwidth.chunks) { chunk in
            _ = KernelSet.kernels.pointee.read(buffer.base + chunk * count, count, pattern)
          }
        }
      }
    }
  }

  /// By the pattern that is fastest here, by its median; nil when nothing was measured.
  ///
  /// - Parameter measured: ``works`` with their samples.
  func gigabytesPerSecond(_ measured: some Collection<TimedWork>) -> Double? {
    measured.map { Statistics.median($0.samples) }.min().map { Double(bytes) / $0 / 1e9 }
  }

  private final class Buffer: @unchecked Sendable {
    // @unchecked: chunks are written by one index each, then only read.
    let base: UnsafeMutablePointer<Float>
    private let bytes: Int

    init?(bytes: Int) {
      guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        memory != MAP_FAILED
      else { return nil }
      base = memory.bindMemory(to: Float.self, capacity: bytes / MemoryLayout<Float>.stride)
      self.bytes = bytes
    }

    deinit { munmap(base, bytes) }
  }
}
