import AttentionTestSupport
import CAttentionKernels
import Testing

@Suite struct RandomTests {
  /// Philox 4x32-10 as its authors write it down, one counter at a time.
  static func philox(counter: [UInt32], key: [UInt32]) -> [UInt32] {
    var (c, k) = (counter, key)
    for _ in 0..<10 {
      let a = UInt64(c[0]) * 0xD251_1F53
      let b = UInt64(c[2]) * 0xCD9E_8D57
      c = [
        UInt32(b >> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: b), UInt32(a >> 32) ^ c[3] ^ k[1],
        UInt32(truncatingIfNeeded: a),
      ]
      k = [k[0] &+ 0x9E37_79B9, k[1] &+ 0xBB67_AE85]
    }
    return c
  }

  /// The word at a place of a stream.
  static func word(seed: UInt64, stream: UInt64, place: UInt64) -> UInt32 {
    let (group, rest) = place.quotientAndRemainder(dividingBy: 64)
    let counter = group &* 16 &+ rest % 16
    func halves(_ bits: UInt64) -> [UInt32] { [UInt32(truncatingIfNeeded: bits), UInt32(bits >> 32)] }
    return philox(counter: halves(counter) + halves(stream), key: halves(seed))[Int(rest / 16)]
  }

  /// The known answers that the Random123 library ships.
  @Test func referenceGivesKnownAnswers() {
    #expect(
      Self.philox(counter: [0, 0, 0, 0], key: [0, 0]) == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
    #expect(
      Self.philox(counter: [.max, .max, .max, .max], key: [.max, .max])
        == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
    #expect(
      Self.philox(
        counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: [0xa409_3822, 0x299f_31d0])
        == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
  }

  @Test(
    arguments: KernelSet.available, [0, 5, 63, 64, 1000, (1 << 34) - 3, (1 << 36) - 17, .max / 2] as [UInt64])
  func wordsAreThoseOfTheReferenceAtEveryPlace(set: KernelSet, first: UInt64) {
    for (seed, stream) in [(0, 0), (0xDEAD_BEEF_0123_4567, 0xFEDC_BA98_7654_3210)] as [(UInt64, UInt64)] {
      for count in [0, 1, 15, 16, 17, 63, 64, 65, 200] {
        let words = GuardedBuffer(repeating: UInt32(0), count: count, edge: .end)
        set.kernels.random_words(seed, stream, first, words.base, count)
        let expected = (0..<count).map { Self.word(seed: seed, stream: stream, place: first + UInt64($0)) }
        #expect(words.values == expected)
        #expect(words.surroundingsAreIntact)
      }
    }
  }

  @Test(arguments: KernelSet.available, [0, 3, 64, 777] as [UInt64])
  func dropsByTheWordOfThePlace(set: KernelSet, first: UInt64) {
    for count in Array(lengths) + [128, 1000] {
      for edge in GuardedBuffer<Float>.Edge.allCases {
        var values = Noise.floats(count, in: -2...2, seed: count)
        for index in values.indices where index % 5 == 0 { values[index] = specials[index % specials.count] }
        let x = GuardedBuffer(values, edge: edge)
        let y = GuardedBuffer(repeating: Float.nan, count: count, edge: edge)
        let threshold: UInt32 = 0x4000_0000
        set.kernels.dropout(x.base, y.base, count, 7, 9, first, threshold, 4.0 / 3)
        let expected = values.enumerated().map { index, value in
          Self.word(seed: 7, stream: 9, place: first + UInt64(index)) >= threshold ? value * (4.0 / 3) : 0
        }
        #expect(sameBits(y.values, expected), "\(count) from \(first)")
        set.kernels.dropout(x.base, x.base, count, 7, 9, first, threshold, 4.0 / 3)
        #expect(sameBits(x.values, expected), "in place")
        #expect(x.surroundingsAreIntact && y.surroundingsAreIntact)
      }
    }
  }
}
