import AttentionLayers
import AttentionModels
import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A folder that a run of training writes to, and goes on from.
///
/// The folder itself is the best model so far, as others load it. In it, `training/last.safetensors` holds all that the run
/// goes on from, and `training/metrics.jsonl` what it told, a row of JSON for each event. Files are written under other
/// names, brought to the disk and renamed: a process that is killed at any moment loses the steps since the last
/// checkpoint, and leaves no broken file.
///
/// One process at a time may write to a folder: the object holds a lock on it as long as it lives.
public final class TrainingRun: Sendable {
  /// The folder of the model.
  public let folder: ModelFolder
  /// What the run was begun with, by name: it goes on only with the same.
  public let settings: [String: String]
  private let descriptor: Int32

  private var stateFolder: String { folder.path(of: "training") }
  private var checkpointPath: String { folder.path(of: "training/last.safetensors") }
  private var metricsPath: String { folder.path(of: "training/metrics.jsonl") }

  /// Opens a folder, which is made if need be, and locks it.
  ///
  /// - Parameters:
  ///   - folder: where the model goes.
  ///   - settings: what must be the same when the run is taken up again, by name.
  /// - Throws: ``TrainingError`` when the system refuses, another process has the folder, or it holds a model that no run
  ///   put there: that would be lost.
  public init(folder: ModelFolder, settings: [String: String] = [:]) throws(TrainingError) {
    self.folder = folder
    self.settings = settings
    let state = folder.path(of: "training")
    let path = folder.path(of: "training/lock")
    // A run of ours leaves its lock from its first moment on.
    let model = ["config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"]
    if !fileExists(path), model.contains(where: { fileExists(folder.path(of: $0)) }) {
      throw .folderHoldsModel(folder.path)
    }
    do throws(TensorFileError) { try makeFolder(state) } catch { throw .file(error) }
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .file(TensorFileError(file: path, reason: .cannotWrite(code: errno))) }
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      let code = errno
      close(descriptor)
      throw code == EWOULDBLOCK
        ? .folderInUse(folder.path) : .file(TensorFileError(file: path, reason: .cannotWrite(code: code)))
    }
    removeLeftovers()
  }

  deinit { close(descriptor) }

  /// Whether there is a checkpoint to go on from.
  public var holdsCheckpoint: Bool { fileExists(checkpointPath) }

  // MARK: Checkpoints

  /// Writes all that a run goes on from.
  func write<Objective, Data>(_ trainer: borrowing Trainer<Objective, Data>) throws(TrainingError) {
    let parameters = trainer.model.namedTensors
    var tensors: [(name: String, contents: TensorFileContents)] = parameters.map {
      ("model.\($0.name)", .float32($0.tensor.detached()))
    }
    let names = parameters.filter { $0.role == .parameter }.map(\.name)
    for (slot, kept) in trainer.optimizer.state.slots.sorted(by: { $0.key < $1.key }) {
      for (name, tensor) in zip(names, kept) { tensors.append(("optimizer.\(slot).\(name)", .float32(tensor))) }
    }
    var metadata = ["training": trainer.state.json, "format": "1"]
    for (key, value) in settings { metadata["setting.\(key)"] = value }
    do throws(TensorFileError) {
      try SafetensorsFile.write(tensors, metadata: metadata, to: checkpointPath)
    } catch {
      throw .file(error)
    }
  }

  /// Brings a trainer to where the run was.
  ///
  /// - Parameter trainer: one made as the run's was, before its first step.
  /// - Throws: ``TrainingError`` when the checkpoint cannot be read, is damaged, or is of another model, another optimizer
  ///   or other settings; the trainer is as it was then.
  public func restore<Objective, Data>(_ trainer: inout Trainer<Objective, Data>) throws(TrainingError) {
    let file: SafetensorsFile
    do throws(TensorFileError) { file = try SafetensorsFile(path: checkpointPath) } catch { throw .file(error) }
    guard file.metadata["format"] == "1", let state = file.metadata["training"].flatMap(TrainingState.init(json:))
    else { throw problem("it is no checkpoint of a run of training") }
    try check(file.metadata)
    guard state.step <= 1 << 50, state.position.epoch <= 1 << 40,
      state.position.batch < trainer.data.batchCount(ofEpoch: state.position.epoch)
    else { throw problem("it goes on at a place that the data do not have: they are not the run's") }

    var model = trainer.model
    do throws(LayerLoadingError) {
      try model.load(path: checkpointPath, prefix: "model.")
    } catch {
      switch error {
      case .file(let error): throw .file(error)
      case .parameters(let error): throw problem("it is of another model: \(error.parts)")
      }
    }
    var slots: [String: [Tensor]] = [:]
    if state.step > 0 {
      for slot in trainer.optimizer.slotNames {
        var kept: [Tensor] = []
        for (name, role, parameter) in model.namedTensors where role == .parameter {
          let name = "optimizer.\(slot).\(name)"
          guard let entry = file.entry(named: name) else { throw problem("it lacks \(quotedForMessage(name))") }
          guard entry.shape == parameter.shape else {
            throw problem("\(quotedForMessage(name)) is \(entry.shape), and the parameter \(parameter.shape)")
          }
          do throws(TensorFileError) { kept.append(try file.tensor(named: name)) } catch { throw .file(error) }
        }
        slots[slot] = kept
      }
    }
    let expected = (trainer.optimizer.slotNames.count * (state.step > 0 ? 1 : 0))
    let found = Set(
      file.entries.compactMap { entry in
        entry.name.hasPrefix("optimizer.") ? entry.name.dropFirst("optimizer.".count).prefix { $0 != "." } : nil
      })
    guard found.count == expected else {
      throw problem("it is of another optimizer, which keeps \(found.sorted().joined(separator: ", "))")
    }
    trainer.restore(state, model: model, slots: slots)
  }

  private func check(_ metadata: [String: String]) throws(TrainingError) {
    // What is trained says more than what follows from it.
    for (key, value) in settings.sorted(by: {
      $0.key == "kind" || $1.key != "kind" && $0.key < $1.key
    }) {
      let before = metadata["setting.\(key)"]
      guard before != value else { continue }
      throw problem(
        before.map { "the run was begun with \(key) \($0), not \(value)" } ?? "the run was begun without \(key)")
    }
    for key in metadata.keys.sorted() where key.hasPrefix("setting.") {
      let name = String(key.dropFirst("setting.".count))
      if settings[name] == nil { throw problem("the run was begun with \(name) \(metadata[key]!)") }
    }
  }

  private func problem(_ text: String) -> TrainingError { .checkpoint(file: checkpointPath, problem: text) }

  /// Deletes what killed processes left; the lock says that no living one writes here.
  private func removeLeftovers() {
    for folder in [folder.path, stateFolder] {
      guard let directory = opendir(folder) else { continue }
      defer { closedir(directory) }
      while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name.hasPrefix(temporaryFilePrefix) { unlink("\(folder)/\(name)") }
      }
    }
  }

  // MARK: Metrics

  /// Begins the file of metrics, or takes back its rows behind a step.
  func beginMetrics(afterStep step: Int) throws(TrainingError) {
    do throws(TensorFileError) {
      var kept: [UInt8] = []
      if step > 0, fileExists(metricsPath) {
        for line in try contents(ofFile: metricsPath).split(separator: UInt8(ascii: "\n")) {
          // The last row of a killed process may be cut.
          guard case .some(.object(let row)) = try? JSONParser.parse(Array(line)),
            let found = row["step"]?.integerValue, found <= step
          else { continue }
          kept += line + [UInt8(ascii: "\n")]
        }
      }
      try AttentionTensors.write(kept, toFile: metricsPath)
    } catch {
      throw .file(error)
    }
  }

  /// Appends a row.
  func append(_ event: TrainingEvent) throws(TrainingError) {
    let bytes = event.json + [UInt8(ascii: "\n")]
    let file = open(metricsPath, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw .file(TensorFileError(file: metricsPath, reason: .cannotWrite(code: errno))) }
    defer { close(file) }
    var done = 0
    while done < bytes.count {
      #if canImport(Glibc)
        let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress! + done, $0.count - done) }
      #else
        let count = bytes.withUnsafeBytes { Darwin.write(file, $0.baseAddress! + done, $0.count - done) }
      #endif
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw .file(TensorFileError(file: metricsPath, reason: .cannotWrite(code: errno)))
      }
    }
  }
}

extension Trainer where Objective.Model: StoredModel {
  /// Does all steps that are left, and writes checkpoints, the best model and the metrics to the run's folder.
  ///
  /// The best model is the one of the least held-out loss; without held-out data it is the latest.
  ///
  /// - Parameters:
  ///   - run: the folder; where it holds a checkpoint, ``TrainingRun/restore(_:)`` comes first.
  ///   - observe: told of each event.
  ///   - shouldStop: asked before each step, and while held-out data are looked at; a checkpoint is written then.
  /// - Throws: ``TrainingError``; a checkpoint that was there stays.
  @discardableResult
  public mutating func run(
    in run: TrainingRun, _ observe: (TrainingEvent) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws(TrainingError) -> TrainingEnd {
    if step == 0, run.holdsCheckpoint { throw .folderHoldsRun(run.folder.path) }
    try run.beginMetrics(afterStep: step)
    var failure: TrainingError?
    let output = Output(
      checkpoint: { (trainer) throws(TrainingError) in try run.write(trainer) },
      saveBest: { (trainer) throws(TrainingError) in
        do throws(ModelFileError) { try trainer.model.save(to: run.folder) } catch { throw .model(error) }
      })
    let end = try self.run(output, shouldStop: { failure != nil || shouldStop() }) { event in
      do throws(TrainingError) {
        try run.append(event)
      } catch {
        failure = failure ?? error
      }
      observe(event)
    }
    if let failure { throw failure }
    return end
  }
}
