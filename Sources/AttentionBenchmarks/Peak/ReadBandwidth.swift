import Attention
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How fast all threads together read memory: the limit of attention with one query.
package enum ReadBandwidth {
  /// How much is read: a quarter of what is left of `allowed` bytes where `taken` are in use, and at most 512 MiB, far
  /// more than any cache holds. Nil where that is less than 64 MiB, which would measure the caches.
  package static func bytes(allowed: Int, taken: Int) -> Int? {
    let bytes = min(512, (max(0, allowed - taken) / 4) >> 20) << 20
    return bytes >= 64 << 20 ? bytes : nil
  }

  private static let chunks = 64

  /// Gigabytes a second by the best of the kernels' patterns, the median of `rounds` rounds of all of them in random
  /// order; nil when there is no memory for it, which is held only during the call.
  ///
  /// - Parameter taken: the bytes of ``CaseLimits/defaultMemory`` that are in use.
  static func measure(taken: Int, rounds: Int, using generator: inout some RandomNumberGenerator) -> Double? {
    TensorStorage.releaseCache()
    guard let bytes = bytes(allowed: CaseLimits.defaultMemory, taken: taken),
      let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      memory != MAP_FAILED
    else { return nil }
    defer { munmap(memory, bytes) }
    let buffer = Buffer(base: memory.bindMemory(to: Float.self, capacity: bytes / 4))
    let count = bytes / 4 / chunks
    // Written once: pages that were never written are all one page of zeros, which the cache holds.
    WorkerPool.shared.forEach(chunks) { chunk in
      (buffer.base + chunk * count).update(repeating: 1, count: count)
    }
    let patterns = Int(KernelSet.kernels.pointee.read_patterns)
    var seconds = [[Double]](repeating: [], count: patterns)
    for _ in 0..<rounds {
      for pattern in (0..<patterns).shuffled(using: &generator) {
        seconds[pattern].append(
          Stopwatch.seconds {
            WorkerPool.shared.forEach(chunks) { chunk in
              _ = KernelSet.kernels.pointee.read(buffer.base + chunk * count, count, Int32(pattern))
            }
          })
      }
    }
    return seconds.map { Statistics.median($0) }.min().map { Double(bytes) / $0 / 1e9 }
  }

  private struct Buffer: @unchecked Sendable {
    // @unchecked: chunks are written by one index each, then only read.
    let base: UnsafeMutablePointer<Float>
  }
}
