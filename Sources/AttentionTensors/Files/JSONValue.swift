/// A JSON document, or a part of one.
package enum JSONValue: Sendable, Equatable {
  case null
  case boolean(Bool)
  /// A number without fraction and exponent that `Int` holds.
  case integer(Int)
  /// A number without fraction and exponent that only `UInt64` holds.
  case unsigned(UInt64)
  /// Every other number, rounded to the nearest double, and `-0`.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// The value if it is an integer that `Int` holds.
  package var integerValue: Int? {
    if case .integer(let value) = self { value } else { nil }
  }

  /// The value if it is any number.
  package var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The value if it is a truth value.
  package var booleanValue: Bool? {
    if case .boolean(let value) = self { value } else { nil }
  }

  /// The value if it is a string.
  package var stringValue: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// The elements if the value is an array.
  package var arrayValue: [JSONValue]? {
    if case .array(let value) = self { value } else { nil }
  }

  /// The members if the value is an object.
  package var objectValue: JSONObject? {
    if case .object(let value) = self { value } else { nil }
  }
}

/// The members of a JSON object in the order of the file; no key occurs twice. Keys are compared byte by byte.
package struct JSONObject: Sendable, Equatable {
  /// The keys and values in the order of the file.
  package private(set) var members: [(key: String, value: JSONValue)] = []
  /// The places of the keys in `members`, once there are more than a look from one to the next would serve.
  private var places: [UTF8Key: Int] = [:]

  private static let longestUnindexed = 8

  package init() {}

  /// The number of members.
  package var count: Int { members.count }

  /// The value of a key, or nil if the object has not this key.
  package subscript(key: String) -> JSONValue? {
    guard let place = place(of: key) else { return nil }
    return members[place].value
  }

  /// Adds a member, or answers false when the key is there already.
  package mutating func add(_ key: String, _ value: JSONValue) -> Bool {
    if members.count < Self.longestUnindexed {
      guard place(of: key) == nil else { return false }
    } else {
      if places.isEmpty {
        for (place, member) in members.enumerated() { places[UTF8Key(member.key)] = place }
      }
      guard places.updateValue(members.count, forKey: UTF8Key(key)) == nil else { return false }
    }
    members.append((key, value))
    return true
  }

  private func place(of key: String) -> Int? {
    if places.isEmpty { return members.firstIndex { $0.key.utf8.elementsEqual(key.utf8) } }
    return places[UTF8Key(key)]
  }

  package static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.members.elementsEqual(right.members) { $0.key.utf8.elementsEqual($1.key.utf8) && $0.value == $1.value }
  }
}
