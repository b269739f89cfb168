import ArgumentParser
import AttentionBenchmarks
import AttentionModels
import AttentionTensors

/// The folder of a model.
struct ModelOptions: ParsableArguments {
  /// Where `scripts/fetch-model` puts all-MiniLM-L6-v2.
  static let defaultModel = ".build/models/all-MiniLM-L6-v2"

  @Option(help: ArgumentHelp("The folder of a model, as Hugging Face lays it out.", valueName: "folder"))
  var model = ModelOptions.defaultModel

  /// The folder, which is there.
  func folder() throws(BenchmarkFileError) -> ModelFolder {
    guard !model.isEmpty, fileExists(model) else {
      let hint = model == Self.defaultModel ? "; scripts/fetch-model brings it, --model names another" : ""
      throw .unreadable(file: model, problem: "there is no such folder" + hint)
    }
    guard !TextFile.isRegular(model) else { throw .unreadable(file: model, problem: "it is a file, not a folder") }
    return ModelFolder(path: model)
  }
}
