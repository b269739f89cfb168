import AttentionTensors

/// A value in a JSON file, with the way to it for messages.
package struct JSONField {
  let file: String
  /// Keys and indices from the document on, such as `model.merges[3]`; empty for the document.
  let path: String
  /// nil where there is nothing.
  let value: JSONValue?

  /// The document that a file holds.
  package init(contentsOf file: String) throws(ModelFileError) {
    let bytes: [UInt8]
    do throws(TensorFileError) { bytes = try contents(ofFile: file) } catch {
      throw ModelFileError(file: file, reason: .unreadable("\(error.reason)"))
    }
    try self.init(bytes, file: file)
  }

  package init(_ bytes: [UInt8], file: String) throws(ModelFileError) {
    do throws(JSONError) {
      self.init(file: file, path: "", value: try JSONParser.parse(bytes))
    } catch {
      throw ModelFileError(file: file, reason: .invalidJSON(byte: error.byte, problem: "\(error.reason)"))
    }
  }

  private init(file: String, path: String, value: JSONValue?) {
    self.file = file
    self.path = path
    self.value = value
  }

  /// What messages call the value.
  private var name: String { path.isEmpty ? "the document" : path }

  /// A member of an object; nothing, if this is none.
  package subscript(key: String) -> JSONField {
    JSONField(file: file, path: path.isEmpty ? key : "\(path).\(key)", value: value?.objectValue?[key])
  }

  /// Whether there is something, other than null.
  package var exists: Bool { value != nil && value != .null }

  func error(_ reason: ModelFileError.Reason) -> ModelFileError { ModelFileError(file: file, reason: reason) }

  /// The error that there is something other than expected, or nothing.
  package func notExpected(_ expected: String) -> ModelFileError {
    value == nil ? error(.missing(field: name)) : error(.invalid(field: name, expected: expected))
  }

  /// The error that the value asks for what this package does not do.
  func unsupported(_ value: String) -> ModelFileError { error(.unsupported(field: name, value: value)) }

  /// An integer in a range.
  package func integer(in range: ClosedRange<Int> = 0...Int(Int32.max)) throws(ModelFileError) -> Int {
    guard let value = value?.integerValue, range.contains(value) else {
      throw notExpected("a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// A finite number.
  package func number() throws(ModelFileError) -> Double {
    guard let value = value?.doubleValue, value.isFinite else { throw notExpected("a number") }
    return value
  }

  package func boolean() throws(ModelFileError) -> Bool {
    guard let value = value?.booleanValue else { throw notExpected("true or false") }
    return value
  }

  package func string() throws(ModelFileError) -> String {
    guard let value = value?.stringValue else { throw notExpected("a string") }
    return value
  }

  /// The elements of an array.
  package func array() throws(ModelFileError) -> [JSONField] {
    guard let values = value?.arrayValue else { throw notExpected("an array") }
    return values.enumerated().map { JSONField(file: file, path: "\(name)[\($0)]", value: $1) }
  }

  /// The members of an object, in the order of the file.
  package func members() throws(ModelFileError) -> [(key: String, value: JSONField)] {
    guard let object = value?.objectValue else { throw notExpected("an object") }
    return object.members.map { ($0.key, self[$0.key]) }
  }
}
