import AttentionTensors
import Testing

/// Files with random damage: whatever comes of them, an error or tensors, the process survives it, and soon.
struct FileMutationTests {
  private static let tokens = [
    "\"", "{", "}", "[", "]", ",", ":", "0", "-1", "1e3", "18446744073709551615", "9223372036854775807", "4294967296",
    "null", "\\u0000", "\\uD800", "\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"F64\"", "\"F4\"", "\"BOOL\"",
    "\"__metadata__\"", "(", ")", "'", "True", "'|b1'", "'<f8'", "'>f4'", "'descr'", "'shape'", "\u{FF}", "\0", " ",
  ].map { Array($0.utf8) }

  /// The bytes with one to four damages: bits, bytes, pieces left out, doubled or moved, and words of the formats.
  private func mutate(_ bytes: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      guard !bytes.isEmpty else { return bytes }
      let place = Int.random(in: 0..<bytes.count, using: &generator)
      let length = Int.random(in: 0...min(12, bytes.count - place), using: &generator)
      switch Int.random(in: 0..<7, using: &generator) {
      case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: bytes[place] = UInt8.random(in: 0...255, using: &generator)
      case 2: bytes.removeSubrange(place..<place + length)
      case 3: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
      case 4: bytes.insert(contentsOf: Self.tokens.randomElement(using: &generator)!, at: place)
      case 5: bytes.replaceSubrange(place..<place + length, with: Self.tokens.randomElement(using: &generator)!)
      default: bytes.swapAt(place, Int.random(in: 0..<bytes.count, using: &generator))
      }
    }
    return bytes
  }

  /// Reads all that a file gives, and answers how many tensors came out.
  private func readAll(_ file: SafetensorsFile) -> Int {
    var count = 0
    func attempt<Result>(_ body: () throws(TensorFileError) -> Result) {
      do throws(TensorFileError) {
        _ = try body()
        count += 1
      } catch { _ = error.description }
    }
    for name in file.entries.map(\.name) {
      attempt { () throws(TensorFileError) in try file.tensor(named: name) }
      attempt { () throws(TensorFileError) in try file.tensorRoundedToFloat32(named: name) }
      attempt { () throws(TensorFileError) in try file.booleanTensor(named: name) }
      attempt { () throws(TensorFileError) in try file.integers(named: name) }
      attempt { () throws(TensorFileError) in try file.doubles(named: name) }
      attempt { () throws(TensorFileError) in try file.bytes(named: name) }
    }
    return count
  }

  @Test(arguments: ["types", "names", "unaligned"], [1, 2] as [UInt64])
  func `Damaged safetensors files do no harm`(name: String, seed: UInt64) throws {
    let bytes = try readBytes(fixture("\(name).safetensors"))
    let headerEnd = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
    var generator = SeededGenerator(seed: seed)
    var opened = 0
    for round in 0..<20_000 {
      var damaged: [UInt8]
      if round % 2 == 0 {
        damaged = mutate(bytes, using: &generator)
      } else {
        // Damage the header only and let its length be right, so that more than the length is tested.
        let header = mutate(Array(bytes[8..<headerEnd]), using: &generator)
        damaged = safetensorsBytes(header, data: Array(bytes[headerEnd...]))
      }
      do throws(TensorFileError) {
        let file = try SafetensorsFile(bytes: damaged, name: "f")
        opened += readAll(file) > 0 ? 1 : 0
      } catch {
        if error.description.isEmpty { Issue.record("no description") }
      }
    }
    // Damage to data, padding and names leaves a valid file: the mutator reaches behind the header, too.
    #expect(opened > 100)
  }

  @Test(arguments: ["f2", "i8", "b1", "fortran-f4", "version-3"], [1, 2] as [UInt64])
  func `Damaged npy files do no harm`(name: String, seed: UInt64) throws {
    let bytes = try readBytes(fixture("\(name).npy"))
    let headerStart = bytes[6] == 1 ? 10 : 12
    let headerEnd = headerStart + Int(bytes[8])
    var generator = SeededGenerator(seed: seed)
    var opened = 0
    for round in 0..<10_000 {
      var damaged: [UInt8]
      if round % 2 == 0 {
        damaged = mutate(bytes, using: &generator)
      } else {
        let header = mutate(Array(bytes[headerStart..<headerEnd]), using: &generator)
        damaged = Array(bytes[..<8]) + (0..<headerStart - 8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
        damaged += header + bytes[headerEnd...]
      }
      do throws(TensorFileError) {
        let file = try NumPyFile(bytes: damaged, name: "f")
        opened += 1
        _ = try? file.tensor()
        _ = try? file.tensorRoundedToFloat32()
        _ = try? file.booleanTensor()
        _ = try? file.integers()
        _ = try? file.doubles()
      } catch {
        if error.description.isEmpty { Issue.record("no description") }
      }
    }
    #expect(opened > 100)
  }

  @Test func `Damaged JSON does no harm`() throws {
    let document =
      #"{"a":[1,-2.5e3,"é\u00e9\uD83D\uDE00",{"b":null,"c":[[[true]]]}],"d":{"e":"f","g":18446744073709551615}}"#
    var generator = SeededGenerator(seed: 3)
    var valid = 0
    for _ in 0..<100_000 {
      valid += (try? JSONParser.parse(mutate(Array(document.utf8), using: &generator))) == nil ? 0 : 1
    }
    #expect(valid > 1000)
  }
}
