import AttentionLayers
import AttentionModels
import AttentionTensors
import AttentionTraining
import Foundation
import Testing

@Suite struct TrainingRunTests {
  /// A folder that goes away with the test.
  private final class Folder {
    let path = NSTemporaryDirectory() + "training-\(UInt64.random(in: 0 ... .max))"
    var model: ModelFolder { ModelFolder(path: path) }
    func bytes(_ name: String) -> Data? { FileManager.default.contents(atPath: "\(path)/\(name)") }
    func write(_ data: Data, _ name: String) throws { try data.write(to: URL(filePath: "\(path)/\(name)")) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  /// The rows of the metrics but for the times, which no two runs share.
  private func metrics(_ folder: Folder) throws -> [[String: String]] {
    let text = String(decoding: try #require(folder.bytes("training/metrics.jsonl")), as: UTF8.self)
    return try text.split(separator: "\n").map { line in
      let row = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      return row.filter { !$0.key.contains("second") }.mapValues { "\($0)" }
    }
  }

  @Test(arguments: [0, 1, 2, 3, 4, 5, 11, 12, 22, 23])
  func `a run that was stopped goes on as one that never was`(stop: Int) throws {
    let (whole, cut) = (Folder(), Folder())
    var first = tinyTrainer()
    try first.run(in: TrainingRun(folder: whole.model, settings: ["width": "5"]))

    do {
      var steps = 0
      var trainer = tinyTrainer()
      let end = try trainer.run(in: TrainingRun(folder: cut.model, settings: ["width": "5"])) {
        if case .step = $0 { steps += 1 }
      } shouldStop: {
        steps >= stop
      }
      #expect(end == .stopped(step: stop))
    }
    var second = tinyTrainer(model: TinyModel(seed: 2))
    let run = try TrainingRun(folder: cut.model, settings: ["width": "5"])
    if stop > 0 { try run.restore(&second) } else { second = tinyTrainer() }
    #expect(second.step == stop)
    try second.run(in: run)

    #expect(second.model.bits == first.model.bits)
    #expect(second.optimizer.state.steps == first.optimizer.state.steps)
    for (slot, tensors) in first.optimizer.state.slots {
      let found = try #require(second.optimizer.state.slots[slot])
      #expect(found.map(\.scalars) == tensors.map(\.scalars))
    }
    #expect(second.best?.step == first.best?.step && second.best?.loss == first.best?.loss)
    #expect(cut.bytes("model.safetensors") == whole.bytes("model.safetensors"))
    #expect(cut.bytes("training/last.safetensors") == whole.bytes("training/last.safetensors"))
    let (ours, theirs) = (try metrics(cut), try metrics(whole))
    // The stop wrote a checkpoint of its own.
    #expect(ours.filter { $0["event"] != "checkpoint" } == theirs.filter { $0["event"] != "checkpoint" })
  }

  @Test func `what a killed run had told after its last checkpoint is taken back`() throws {
    let folder = Folder()
    do {
      var trainer = tinyTrainer()
      let run = try TrainingRun(folder: folder.model)
      // As a kill after step 8: the last checkpoint is that of step 6.
      var steps = 0
      var checkpoint: Data?
      try trainer.run(in: run) { event in
        if case .step = event { steps += 1 }
        if case .checkpoint(step: 6) = event { checkpoint = folder.bytes("training/last.safetensors") }
      }
      try folder.write(try #require(checkpoint), "training/last.safetensors")
      try folder.write(Data([1, 2]), "training/.tensors-12ab")
    }
    var trainer = tinyTrainer()
    let run = try TrainingRun(folder: folder.model)
    try run.restore(&trainer)
    #expect(trainer.step == 6)
    #expect(folder.bytes("training/.tensors-12ab") == nil)
    try trainer.run(in: run)
    let steps = try metrics(folder).filter { $0["event"] == "step" }.map { $0["step"] }
    #expect(steps == (1...23).map { "\($0)" })
  }

  @Test func `a stop while held-out data are looked at leaves that look for later`() throws {
    let (whole, cut) = (Folder(), Folder())
    var first = tinyTrainer()
    try first.run(in: TrainingRun(folder: whole.model))
    do {
      var trainer = tinyTrainer()
      var steps = 0
      var asked = 0
      let end = try trainer.run(in: TrainingRun(folder: cut.model)) {
        if case .step = $0 { steps += 1 }
      } shouldStop: {
        // Step 8 is done; the second question after it comes from inside of the evaluation.
        if steps == 8 { asked += 1 }
        return asked >= 2
      }
      #expect(end == .stopped(step: 8))
    }
    var second = tinyTrainer()
    let run = try TrainingRun(folder: cut.model)
    try run.restore(&second)
    try second.run(in: run)
    #expect(
      try metrics(cut).filter { $0["event"] == "evaluation" } == metrics(whole).filter { $0["event"] == "evaluation" })
    #expect(cut.bytes("model.safetensors") == whole.bytes("model.safetensors"))
  }

  // MARK: What does not fit

  private func finished(_ folder: Folder, settings: [String: String] = [:]) throws {
    var trainer = tinyTrainer()
    try trainer.run(in: TrainingRun(folder: folder.model, settings: settings))
  }

  @Test func `a folder that holds a run is not begun anew`() throws {
    let folder = Folder()
    try finished(folder)
    let before = folder.bytes("training/last.safetensors")
    var trainer = tinyTrainer()
    let run = try TrainingRun(folder: folder.model)
    #expect(throws: TrainingError.folderHoldsRun(folder.path)) { try trainer.run(in: run) }
    #expect(folder.bytes("training/last.safetensors") == before)
  }

  @Test func `two runs do not share a folder`() throws {
    let folder = Folder()
    do {
      let first = try TrainingRun(folder: folder.model)
      #expect(throws: TrainingError.folderInUse(folder.path)) { try TrainingRun(folder: folder.model) }
      withExtendedLifetime(first) {}
    }
    #expect(throws: Never.self) { try TrainingRun(folder: folder.model) }
  }

  @Test func `a checkpoint of other settings, another model or another optimizer is refused, and changes nothing`()
    throws
  {
    struct Wider: TrainingObjective {
      var lossNames: [String] { ["distance"] }
      func itemCounts(of batch: TinyBatch) -> [Int] { [1] }
      func tokenCount(of batch: TinyBatch) -> Int { 1 }
      func lossSums(of model: Linear, on batch: TinyBatch, dropout key: DropoutKey?) -> [Tensor] {
        [model(batch.x).sum()]
      }
    }
    let folder = Folder()
    try finished(folder, settings: ["width": "5"])
    func problem(_ settings: [String: String], _ body: (TrainingRun) throws -> Void) throws -> String {
      let run = try TrainingRun(folder: folder.model, settings: settings)
      do {
        try body(run)
        return "accepted"
      } catch let error as TrainingError {
        return error.description
      }
    }
    var trainer = tinyTrainer()
    let before = trainer.model.bits
    #expect(try problem(["width": "6"]) { try $0.restore(&trainer) }.contains("width 5, not 6"))
    #expect(try problem(["width": "5", "depth": "1"]) { try $0.restore(&trainer) }.contains("without depth"))
    #expect(try problem([:]) { try $0.restore(&trainer) }.contains("width 5"))
    #expect(trainer.step == 0 && trainer.model.bits == before)

    var generator = SeededGenerator(seed: 1)
    var wider = Trainer(
      model: Linear(inputs: 3, outputs: 2, using: &generator), objective: Wider(), data: TinyData(),
      optimizer: AdamW(), options: .tiny(steps: 5))
    #expect(try problem(["width": "5"]) { try $0.restore(&wider) }.contains("another model"))
    var plain = Trainer(
      model: TinyModel(), objective: TinyObjective(), data: TinyData(), optimizer: SGD(momentum: 0.9),
      options: .tiny(steps: 5))
    #expect(try problem(["width": "5"]) { try $0.restore(&plain) } != "accepted")
    var bare = Trainer(
      model: TinyModel(), objective: TinyObjective(), data: TinyData(), optimizer: SGD(), options: .tiny(steps: 5))
    #expect(try problem(["width": "5"]) { try $0.restore(&bare) }.contains("another optimizer"))
  }

  @Test func `a damaged checkpoint is refused at every length, and loses nothing`() throws {
    let folder = Folder()
    try finished(folder)
    let whole = try #require(folder.bytes("training/last.safetensors"))
    let model = folder.bytes("model.safetensors")
    for count in Array(0..<64) + Array(stride(from: 64, to: whole.count, by: 37)) {
      try folder.write(whole.prefix(count), "training/last.safetensors")
      var trainer = tinyTrainer()
      let run = try TrainingRun(folder: folder.model)
      #expect(throws: TrainingError.self) { try run.restore(&trainer) }
      #expect(trainer.step == 0)
    }
    #expect(folder.bytes("model.safetensors") == model)
    try folder.write(whole, "training/last.safetensors")
    var trainer = tinyTrainer()
    try TrainingRun(folder: folder.model).restore(&trainer)
    #expect(trainer.step == 23)
  }

  @Test func `a folder that cannot be made is an error`() throws {
    let folder = Folder()
    try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
    try folder.write(Data(), "file")
    do {
      _ = try TrainingRun(folder: ModelFolder(path: "\(folder.path)/file/model"))
      Issue.record("a folder in a file")
    } catch {
      guard case .file = error else {
        Issue.record("\(error)")
        return
      }
      #expect(error.description.contains("file"))
    }
  }
}
