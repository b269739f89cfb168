/// A string as a dictionary key, equal only to a string of the same bytes.
///
/// Swift compares strings by canonical equivalence: "é" written as one scalar equals "é" written as two. In a file
/// those are two names, and in a vocabulary two tokens.
package struct UTF8Key: Hashable, Sendable {
  package let string: String

  package init(_ string: String) {
    self.string = string
  }

  package static func == (left: UTF8Key, right: UTF8Key) -> Bool {
    left.string.utf8.elementsEqual(right.string.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    var string = string
    string.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    hasher.combine(0xFF as UInt8)
  }
}
