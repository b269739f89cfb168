import AttentionTensors
import AttentionTestSupport
import Foundation
import Testing

/// Each in a process of its own: the cache is the process's.
@Suite struct TensorStorageTests {
  /// A burst of one size class fills the cache; once it is idle, blocks of another class are recycled all the same.
  @Test func aBurstDoesNotKeepOthersOut() async {
    await #expect(processExitsWith: .success) {
      TensorStorage.cacheLimit = 1 << 20
      expect(burst(of: 32, scalars: 16_384) == 1 << 20, or: 2)
      // 80 KiB: at first nothing goes for it, then the smaller blocks of two others do.
      expect(burst(of: 1, scalars: 20_480) == 1 << 20, or: 3)
      for _ in 0..<64 { _ = burst(of: 1, scalars: 20_480) }
      expect(TensorStorage.cachedBytes == (1 << 20) - (128 << 10) + (80 << 10), or: 4)
      let before = TensorStorage.cachedBytes
      let storage = TensorStorage(minimumCapacity: 20_480)
      expect(TensorStorage.cachedBytes == before - (80 << 10), or: 5)
      withExtendedLifetime(storage) {}
    }
  }

  /// What has been out of use longest goes first, whatever its size; what is in use does not go.
  @Test func theStalestClassGoesFirst() async {
    await #expect(processExitsWith: .success) {
      TensorStorage.cacheLimit = 1 << 20
      for scalars in [65_536, 32_768, 131_072 - 32_768] { expect(burst(of: 1, scalars: scalars) > 0, or: 2) }
      expect(TensorStorage.cachedBytes == (256 + 128 + 384) << 10, or: 3)
      // The first class stays in use, so that the second is the stalest.
      for _ in 0..<64 { expect(burst(of: 1, scalars: 65_536) == (256 + 128 + 384) << 10, or: 4) }
      expect(burst(of: 1, scalars: 81_920) == (256 + 384 + 320) << 10, or: 5)
      // A block larger than the limit displaces nothing.
      expect(burst(of: 1, scalars: 1 << 20) == (256 + 384 + 320) << 10, or: 6)
      TensorStorage.releaseCache()
      expect(TensorStorage.cachedBytes == 0, or: 7)
      expect(TensorStorage.cacheLimit == 1 << 20, or: 8)
    }
  }

  /// Two classes in turns, which do not fit together: the one that is kept is found again each time.
  @Test func classesInTurnsDoNotDisplaceEachOther() async {
    await #expect(processExitsWith: .success) {
      TensorStorage.cacheLimit = 1 << 20
      expect(burst(of: 1, scalars: 163_840) == 640 << 10, or: 2)
      for _ in 0..<200 {
        expect(burst(of: 1, scalars: 131_072) == 640 << 10, or: 3)
        expect(burst(of: 1, scalars: 163_840) == 640 << 10, or: 4)
      }
    }
  }

  @Test func manyThreadsRecycle() async {
    await #expect(processExitsWith: .success) {
      TensorStorage.cacheLimit = 1 << 18
      await withTaskGroup(of: Void.self) { group in
        for task in 0..<8 {
          group.addTask {
            for round in 0..<2_000 {
              let value = Float(task * 10_000 + round)
              let tensor = Tensor(repeating: value, shape: [1 + (task * 37 + round * 101) % 20_000])
              // A block in two hands would show the other's value.
              expect(tensor.scalars.allSatisfy { $0 == value }, or: 2)
            }
          }
        }
      }
      expect(TensorStorage.cachedBytes <= 1 << 18, or: 3)
    }
  }
}

/// Takes so many storages at once, gives them back, and answers what is cached then.
private func burst(of count: Int, scalars: Int) -> Int {
  do {
    let storages = (0..<count).map { _ in TensorStorage(minimumCapacity: scalars) }
    withExtendedLifetime(storages) {}
  }
  return TensorStorage.cachedBytes
}

/// Ends the process with this code unless the condition holds.
private func expect(_ condition: Bool, or code: Int32) { if !condition { exit(code) } }
