/// The element types of a safetensors file, under the names that the format gives them.
///
/// A file may hold tensors of every type; ``SafetensorsFile`` converts those whose documentation says so, and gives the
/// raw bytes of the others.
public enum SafetensorsType: String, Sendable, CaseIterable {
  /// A truth value, one byte.
  case boolean = "BOOL"
  /// A float of 4 bits.
  case float4 = "F4"
  /// A float of 6 bits, 2 of them the exponent's.
  case float6E2M3 = "F6_E2M3"
  /// A float of 6 bits, 3 of them the exponent's.
  case float6E3M2 = "F6_E3M2"
  /// An unsigned integer of 8 bits.
  case unsigned8 = "U8"
  /// A signed integer of 8 bits.
  case signed8 = "I8"
  /// A float of 8 bits, 5 of them the exponent's.
  case float8E5M2 = "F8_E5M2"
  /// A float of 8 bits, 4 of them the exponent's.
  case float8E4M3 = "F8_E4M3"
  /// A float of 8 bits, 5 of them the exponent's, without negative zero and infinities.
  case float8E5M2FNUZ = "F8_E5M2FNUZ"
  /// A float of 8 bits, 4 of them the exponent's, without negative zero and infinities.
  case float8E4M3FNUZ = "F8_E4M3FNUZ"
  /// A power of two of 8 bits.
  case float8E8M0 = "F8_E8M0"
  /// A signed integer of 16 bits.
  case signed16 = "I16"
  /// An unsigned integer of 16 bits.
  case unsigned16 = "U16"
  /// The IEEE float of 16 bits.
  case float16 = "F16"
  /// The upper half of a float32.
  case brainFloat16 = "BF16"
  /// A signed integer of 32 bits.
  case signed32 = "I32"
  /// An unsigned integer of 32 bits.
  case unsigned32 = "U32"
  /// The IEEE float of 32 bits.
  case float32 = "F32"
  /// A complex number of two floats of 32 bits.
  case complex64 = "C64"
  /// The IEEE float of 64 bits.
  case float64 = "F64"
  /// A signed integer of 64 bits.
  case signed64 = "I64"
  /// An unsigned integer of 64 bits.
  case unsigned64 = "U64"

  /// The number of bits of an element.
  public var bitCount: Int {
    switch self {
    case .float4: 4
    case .float6E2M3, .float6E3M2: 6
    case .boolean, .unsigned8, .signed8: 8
    case .float8E5M2, .float8E4M3, .float8E5M2FNUZ, .float8E4M3FNUZ, .float8E8M0: 8
    case .signed16, .unsigned16, .float16, .brainFloat16: 16
    case .signed32, .unsigned32, .float32: 32
    case .complex64, .float64, .signed64, .unsigned64: 64
    }
  }

  /// The format of the elements, or nil if this package does not convert them.
  var format: ElementFormat? {
    switch self {
    case .boolean: .boolean
    case .unsigned8: .unsigned8
    case .signed8: .signed8
    case .signed16: .signed16
    case .unsigned16: .unsigned16
    case .float16: .half
    case .brainFloat16: .brainFloat
    case .signed32: .signed32
    case .unsigned32: .unsigned32
    case .float32: .float32
    case .float64: .float64
    case .signed64: .signed64
    case .unsigned64: .unsigned64
    case .float4, .float6E2M3, .float6E3M2, .complex64: nil
    case .float8E5M2, .float8E4M3, .float8E5M2FNUZ, .float8E4M3FNUZ, .float8E8M0: nil
    }
  }
}
