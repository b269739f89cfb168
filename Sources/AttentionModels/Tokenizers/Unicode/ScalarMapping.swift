/// Canonical decomposition, and lowercase scalar by scalar.
enum ScalarMapping {
  /// The full canonical decomposition of a scalar (Unicode Standard, section 3.7), in canonical order; nil if it is itself.
  static func decomposition(of scalar: UInt32) -> [UInt32]? {
    guard scalar >= 0xC0 else { return nil }
    // Hangul syllables (section 3.12).
    let syllable = Int(scalar) - 0xAC00
    if (0..<11_172).contains(syllable) {
      let (lead, rest) = syllable.quotientAndRemainder(dividingBy: 588)
      let (vowel, tail) = rest.quotientAndRemainder(dividingBy: 28)
      let parts = [UInt32(0x1100 + lead), UInt32(0x1161 + vowel)]
      return tail == 0 ? parts : parts + [UInt32(0x11A7 + tail)]
    }
    guard let (first, second) = step(scalar) else { return nil }
    return (decomposition(of: first) ?? [first]) + (second == 0 ? [] : decomposition(of: second) ?? [second])
  }

  private static func step(_ scalar: UInt32) -> (UInt32, UInt32)? {
    let steps = CanonicalDecompositions.steps
    let index = firstIndex(in: steps.count) { UInt32(truncatingIfNeeded: steps[$0] >> 42) >= scalar }
    guard index < steps.count, steps[index] >> 42 == UInt64(scalar) else { return nil }
    let mask: UInt64 = 1 << 21 - 1
    return (UInt32(steps[index] >> 21 & mask), UInt32(steps[index] & mask))
  }

  /// The place of a mark among those on one letter (Unicode Standard, section 3.11), 0 for what is no such mark. Marks that
  /// came after Unicode 9.0 are none: Hugging Face's tokenizers do not know them.
  static func combiningClass(of scalar: UInt32) -> UInt8 {
    guard scalar >= 0x300, !CharacterClass(of: scalar).contains(.letter), let scalar = Unicode.Scalar(scalar) else {
      return 0
    }
    let order = scalar.properties.canonicalCombiningClass.rawValue
    return order > 0 && (scalar.properties.age?.major ?? .max) <= 9 ? order : 0
  }

  /// The lowercase of a scalar by itself: a final sigma is σ as any other.
  static func lowercase(_ scalar: UInt32) -> (first: UInt32, second: UInt32?) {
    if scalar < 0x80 { return ((0x41...0x5A).contains(scalar) ? scalar + 32 : scalar, nil) }
    if scalar == 0x130 { return (0x69, 0x307) }
    let runs = LowercaseRuns.runs
    // Runs may interleave where every other scalar is lowercase: one of the last few that begin before it holds it.
    var index = firstIndex(in: runs.count) { runs[$0].first > scalar } - 1
    for _ in 0..<3 where index >= 0 {
      let run = runs[index]
      if scalar <= run.last, (scalar - run.first) % run.step == 0 {
        return (UInt32(truncatingIfNeeded: Int64(scalar) + Int64(run.delta)), nil)
      }
      index -= 1
    }
    return (scalar, nil)
  }

  /// The first index for which `isPast` holds, as it does for all after it.
  private static func firstIndex(in count: Int, where isPast: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isPast(middle) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
