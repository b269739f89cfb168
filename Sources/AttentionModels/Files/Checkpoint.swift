import AttentionTensors

/// The weights of a model: model.safetensors, or the files that model.safetensors.index.json lists.
///
/// Tensors of F32, F16 and BF16 are read, the last two widened, which is exact. Nothing is read but headers until a weight is asked
/// for, and each goes straight to where it is used.
struct Checkpoint: Sendable {
  /// What messages name.
  let path: String
  private let files: [SafetensorsFile]
  /// By name, the file that a tensor lies in.
  private let places: [String: Int]
  /// What stands before the model's own names, such as "bert.".
  private(set) var prefix = ""

  init(_ folder: ModelFolder) throws(ModelFileError) {
    let whole = folder.path(of: "model.safetensors")
    let indexPath = folder.path(of: "model.safetensors.index.json")
    guard !fileExists(whole), fileExists(indexPath) else {
      let file = try Checkpoint.open(whole)
      path = whole
      files = [file]
      places = Dictionary(file.entries.map { ($0.name, 0) }, uniquingKeysWith: { $1 })
      return
    }
    let index = try JSONField(contentsOf: indexPath)
    var files: [SafetensorsFile] = []
    var numbers: [String: Int] = [:]
    var places: [String: Int] = [:]
    for (tensor, file) in try index["weight_map"].members() {
      let name = try file.string()
      guard !name.isEmpty, name != "..", !name.utf8.contains(UInt8(ascii: "/")) else {
        throw file.notExpected("the name of a file in the folder")
      }
      let number = numbers[name] ?? files.count
      if number == files.count {
        numbers[name] = number
        files.append(try Checkpoint.open(folder.path(of: name)))
      }
      guard files[number].entry(named: tensor) != nil else {
        throw ModelFileError(file: folder.path(of: name), reason: .missingTensor(name: tensor))
      }
      places[tensor] = number
    }
    path = indexPath
    self.files = files
    self.places = places
  }

  private static func open(_ path: String) throws(ModelFileError) -> SafetensorsFile {
    do throws(TensorFileError) { return try SafetensorsFile(path: path) } catch { throw ModelFileError(error) }
  }

  /// The names, without the prefix where they have it.
  var names: [String] {
    places.keys.map { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : $0 }
  }

  /// The same weights under names without a prefix, if there is a tensor that has this name with it and none without.
  func removing(prefix: String, ifBefore name: String) -> Checkpoint {
    guard places[name] == nil, places[prefix + name] != nil else { return self }
    var copy = self
    copy.prefix = prefix
    return copy
  }

  /// The name in the file: with the prefix, or of a tensor beside the prefixed ones as it is.
  private func find(_ name: String) -> (name: String, file: SafetensorsFile)? {
    for full in prefix.isEmpty ? [name] : [prefix + name, name] {
      if let place = places[full] { return (full, files[place]) }
    }
    return nil
  }

  /// Whether there is a tensor of this name.
  func contains(_ name: String) -> Bool { find(name) != nil }

  /// The shape of a tensor, or nil if there is none of this name.
  func shape(of name: String) -> [Int]? { find(name).flatMap { $1.entry(named: $0)?.shape } }

  /// Throws when there are weights of blocks that the configuration does not count: a model without them would compute
  /// something else, and nobody would notice.
  func requireNoBlock(from count: Int, under start: String, _ field: String) throws(ModelFileError) {
    for name in names where name.hasPrefix(start) {
      let digits = name.dropFirst(start.count).prefix { $0.isASCII && $0.isNumber }
      guard let block = Int(digits), block >= count else { continue }
      throw ModelFileError(
        file: path,
        reason: .inconsistent(problem: "it has \(quotedForMessage(name)), and \(field) is \(count)"))
    }
  }

  /// The file that holds a tensor of this name and shape, and the tensor's name there.
  func require(_ name: String, _ shape: [Int]) throws(ModelFileError) -> (name: String, file: SafetensorsFile) {
    guard let (full, file) = find(name), let entry = file.entry(named: full) else {
      throw ModelFileError(file: path, reason: .missingTensor(name: prefix + name))
    }
    guard entry.shape == shape else {
      throw ModelFileError(
        file: file.path, reason: .wrongShape(tensor: full, found: entry.shape, expected: shape))
    }
    return (full, file)
  }

  /// A tensor, read on several threads where it is large.
  func tensor(_ name: String, _ shape: [Int]) throws(ModelFileError) -> Tensor {
    let (full, file) = try require(name, shape)
    guard shape.count == 2, shape[0] * shape[1] > 1 << 20 else {
      do throws(TensorFileError) { return try file.tensor(named: full) } catch { throw ModelFileError(error) }
    }
    let failure = Guarded<TensorFileError?>(nil)
    let rows = (1 << 18) / shape[1] + 1
    let tensor = Tensor(uninitialized: shape) { buffer in
      let target = Unchecked(buffer.baseAddress!)
      WorkerPool.shared.forEachWithoutProducts((shape[0] + rows - 1) / rows, inline: false) { task in
        let part = task * rows..<min(shape[0], (task + 1) * rows)
        do throws(TensorFileError) {
          try file.readRows(part, of: full, into: target.value + part.lowerBound * shape[1])
        } catch {
          failure.withLock { $0 = $0 ?? error }
        }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw ModelFileError(failure) }
    return tensor
  }

  /// The panels of a weight whose rows are those of several tensors, one after another.
  ///
  /// - Parameters:
  ///   - names: of tensors `[outputs, inputs]`, or `[inputs, outputs]` of one.
  ///   - inputs: the width of what goes in.
  ///   - outputs: of each tensor.
  ///   - order: how the file has them.
  func panels(
    _ names: [String], inputs: Int, outputs: [Int], order: WeightOrder
  ) throws(ModelFileError) -> PackedMatrix {
    var parts: [(name: String, file: SafetensorsFile, rows: Range<Int>)] = []
    for (name, count) in zip(names, outputs) {
      let (full, file) = try require(name, order == .outputsFirst ? [count, inputs] : [inputs, count])
      let first = parts.last?.rows.upperBound ?? 0
      parts.append((full, file, first..<first + count))
    }
    let total = outputs.reduce(0, +)
    do throws(TensorFileError) {
      switch order {
      case .outputsFirst:
        return try PackedMatrix(
          inner: inputs, columns: total,
          readingColumns: { [parts] (rows, target) throws(TensorFileError) in
            for part in parts where part.rows.overlaps(rows) {
              let common = rows.clamped(to: part.rows)
              let first = part.rows.lowerBound
              try part.file.readRows(
                common.lowerBound - first..<common.upperBound - first, of: part.name,
                into: target + (common.lowerBound - rows.lowerBound) * inputs)
            }
          })
      case .inputsFirst:
        return try PackedMatrix(
          inner: inputs, columns: total,
          readingRows: { [parts] (rows, target) throws(TensorFileError) in
            try parts[0].file.readRows(rows, of: parts[0].name, into: target)
          })
      }
    } catch {
      throw ModelFileError(error)
    }
  }
}

/// How a file has a linear map's weight.
enum WeightOrder: Sendable, Equatable {
  /// `[outputs, inputs]`, as PyTorch's `nn.Linear`.
  case outputsFirst
  /// `[inputs, outputs]`, as GPT-2's `Conv1D`.
  case inputsFirst
}

extension ModelFileError {
  init(_ error: TensorFileError) {
    // The error of a file of tensors names it at its beginning; the file is said once.
    let text = "\(error)"
    let start = "\(quotedForMessage(error.file)): "
    let problem = text.hasPrefix(start) ? String(text.dropFirst(start.count)) : text
    switch error.reason {
    case .cannotOpen, .cannotRead, .cannotWrite, .invalidPath, .notARegularFile, .notEnoughMemory:
      self.init(file: error.file, reason: .unreadable(problem))
    default: self.init(file: error.file, reason: .damaged(problem))
    }
  }
}
