import Attention
import AttentionModels
import AttentionTensors
import Foundation

/// A kind of file: valid ones to begin with, and what reads them.
protocol Subject {
  /// What it is called on the command line.
  static var name: String { get }
  /// Of a hundred inputs, how many are its.
  static var share: Int { get }
  /// Files as they should be.
  var seeds: [[UInt8]] { get }
  /// A damaged file.
  func input(_ mutator: inout Mutator) -> [UInt8]
  /// Reads a file, and uses what came of it.
  ///
  /// - Returns: whether it could be read.
  func read(_ bytes: [UInt8]) -> Bool
}

extension Subject {
  func input(_ mutator: inout Mutator) -> [UInt8] {
    mutator.damaged(seeds[mutator.number(0..<seeds.count)], others: seeds)
  }

  /// Half of the inputs are damaged as bytes, half as documents.
  func documentInput(_ mutator: inout Mutator, _ documents: [JSONValue]) -> [UInt8] {
    let place = mutator.number(0..<seeds.count)
    guard mutator.chance(2) else { return mutator.damaged(seeds[place], others: seeds) }
    let bytes = JSONWriter.bytes(mutator.damaged(documents[place]))
    return mutator.chance(4) ? mutator.damaged(bytes, others: seeds) : bytes
  }
}

func parsed(_ documents: [[UInt8]]) -> [JSONValue] {
  documents.map { bytes in
    guard let value = try? JSONParser.parse(bytes) else {
      fatalError("a seed is no JSON: \(String(decoding: bytes, as: UTF8.self))")
    }
    return value
  }
}

/// Files of tensors.
struct SafetensorsSubject: Subject {
  static let name = "safetensors"
  static let share = 25
  let seeds: [[UInt8]]
  private let headers: [JSONValue]
  private let data: [[UInt8]]

  init() {
    let documents = [
      #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F16","shape":[4],"data_offsets":[24,32]}}"#,
      #"{"i":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"u":{"dtype":"BOOL","shape":[3,1],"data_offsets":[16,19]},"e":{"dtype":"BF16","shape":[0,5],"data_offsets":[19,19]}}"#,
      #"{"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"x":{"dtype":"U8","shape":[1,2,3,1],"data_offsets":[8,14]}}"#,
    ].map { Array($0.utf8) }
    headers = parsed(documents)
    data = [32, 19, 14].map { count in (0..<count).map { UInt8(truncatingIfNeeded: 37 * $0) } }
    seeds = zip(documents, data).map { Self.file($0, $1) }
  }

  private static func file(_ header: [UInt8], _ data: [UInt8]) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + data
  }

  /// Where the header is damaged its length is mostly right, so that more than the length is tested.
  func input(_ mutator: inout Mutator) -> [UInt8] {
    let place = mutator.number(0..<seeds.count)
    switch mutator.number(0..<3) {
    case 0: return mutator.damaged(seeds[place], others: seeds)
    case 1: return Self.file(JSONWriter.bytes(mutator.damaged(headers[place])), data[place])
    default: return Self.file(mutator.damaged(JSONWriter.bytes(headers[place]), others: seeds), data[place])
    }
  }

  func read(_ bytes: [UInt8]) -> Bool {
    guard let file = try? SafetensorsFile(bytes: bytes, name: "f") else { return false }
    for name in file.entries.map(\.name) {
      _ = try? file.tensor(named: name)
      _ = try? file.tensorRoundedToFloat32(named: name)
      _ = try? file.booleanTensor(named: name)
      _ = try? file.integers(named: name)
      _ = try? file.doubles(named: name)
      _ = try? file.bytes(named: name)
    }
    return true
  }
}

/// NumPy's files.
struct NumPySubject: Subject {
  static let name = "npy"
  static let share = 15
  let seeds: [[UInt8]]

  init() {
    seeds = [
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24, 1),
      ("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }", 32, 2),
      ("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", 1, 1),
      ("{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", 24, 3),
      ("{'descr': '<f2', 'fortran_order': True, 'shape': (0, 7), }", 0, 1),
    ].map { (header: String, size: Int, version: UInt8) in
      let length = header.utf8.count
      let width = version == 1 ? 2 : 4
      return [0x93] + Array("NUMPY".utf8) + [version, 0]
        + (0..<width).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        + Array(header.utf8) + (0..<size).map { UInt8(truncatingIfNeeded: 29 * $0) }
    }
  }

  func input(_ mutator: inout Mutator) -> [UInt8] {
    let seed = seeds[mutator.number(0..<seeds.count)]
    guard mutator.chance(2) else { return mutator.damaged(seed, others: seeds) }
    let start = seed[6] == 1 ? 10 : 12
    let end = start + Int(seed[8])
    let header = mutator.damaged(Array(seed[start..<end]), others: seeds)
    return Array(seed[..<8]) + (8..<start).map { UInt8(truncatingIfNeeded: header.count >> (8 * ($0 - 8))) } + header
      + seed[end...]
  }

  func read(_ bytes: [UInt8]) -> Bool {
    guard let file = try? NumPyFile(bytes: bytes, name: "f") else { return false }
    _ = try? file.tensor()
    _ = try? file.tensorRoundedToFloat32()
    _ = try? file.booleanTensor()
    _ = try? file.integers()
    _ = try? file.doubles()
    return true
  }
}
