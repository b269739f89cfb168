/// The element types of an .npy file that this package reads, under the names that the format gives them.
///
/// All are little-endian. Big-endian files, structured types, strings, complex numbers and Python objects are refused.
public enum NumPyType: String, Sendable, CaseIterable {
  /// A truth value, one byte.
  case boolean = "|b1"
  /// A signed integer of 8 bits.
  case signed8 = "|i1"
  /// An unsigned integer of 8 bits.
  case unsigned8 = "|u1"
  /// A signed integer of 16 bits.
  case signed16 = "<i2"
  /// An unsigned integer of 16 bits.
  case unsigned16 = "<u2"
  /// A signed integer of 32 bits.
  case signed32 = "<i4"
  /// An unsigned integer of 32 bits.
  case unsigned32 = "<u4"
  /// A signed integer of 64 bits.
  case signed64 = "<i8"
  /// An unsigned integer of 64 bits.
  case unsigned64 = "<u8"
  /// The IEEE float of 16 bits.
  case float16 = "<f2"
  /// The IEEE float of 32 bits.
  case float32 = "<f4"
  /// The IEEE float of 64 bits.
  case float64 = "<f8"

  /// How the elements are stored.
  var format: ElementFormat {
    switch self {
    case .boolean: .boolean
    case .signed8: .signed8
    case .unsigned8: .unsigned8
    case .signed16: .signed16
    case .unsigned16: .unsigned16
    case .signed32: .signed32
    case .unsigned32: .unsigned32
    case .signed64: .signed64
    case .unsigned64: .unsigned64
    case .float16: .half
    case .float32: .float32
    case .float64: .float64
    }
  }

  /// Why a type that is none of these is refused.
  static func refusal(of name: String) -> TensorFileError.Reason {
    let isBigEndian = name.first == ">" && (allCases.contains { $0.rawValue.dropFirst() == name.dropFirst() })
    return isBigEndian ? .bigEndian(name) : .unsupportedType(name)
  }
}
