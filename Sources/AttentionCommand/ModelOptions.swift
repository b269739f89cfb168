import ArgumentParser
import AttentionModels
import Foundation

/// Which model a command reads.
struct ModelOptions: ParsableArguments {
  /// Where scripts/fetch-model puts all-MiniLM-L6-v2.
  static let defaultFolder = ".build/models/all-MiniLM-L6-v2"

  @Option(
    help: ArgumentHelp(
      "A folder as Hugging Face lays it out: config.json, model.safetensors, tokenizer.json. Unless given, "
        + "\(ModelOptions.defaultFolder), which scripts/fetch-model fetches.", valueName: "folder"))
  var model: String?

  func validate() throws {
    if let model, model.isEmpty { throw ValidationError("--model wants a folder") }
  }

  /// The folder; throws where it is not there, with what to do about it.
  func folder() throws -> ModelFolder {
    let path = model ?? ModelOptions.defaultFolder
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      throw ModelFileError(
        file: path,
        reason: .unreadable(
          model == nil
            ? "there is no such folder: fetch the model with scripts/fetch-model, or name another with --model"
            : "there is no such folder"))
    }
    return ModelFolder(path: path)
  }
}

extension Terminal {
  /// Reads a model, or ends the command with a line of what is wrong with the folder.
  static func read<Model>(_ body: () throws -> Model) throws -> Model {
    do { return try body() } catch let error as ModelFileError {
      writeError("attention: \(oneLine(error.description))\n")
      throw ExitCode(error.exitCode)
    }
  }
}

extension ModelFileError {
  /// The exit code that `sysexits.h` has for it.
  var exitCode: Int32 { if case .unreadable = reason { 66 } else { 65 } }
}
