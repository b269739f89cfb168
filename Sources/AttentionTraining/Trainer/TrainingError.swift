import AttentionLayers
import AttentionModels
import AttentionTensors

/// Why a run of training ended before its last step, or could not begin.
public enum TrainingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A file of the run could not be read or written.
  case file(TensorFileError)
  /// The model could not be written.
  case model(ModelFileError)
  /// The run's checkpoint does not fit the run.
  case checkpoint(file: String, problem: String)
  /// Another process writes to the run's folder.
  case folderInUse(String)
  /// The folder holds a run already, which was not to be taken up again.
  case folderHoldsRun(String)
  /// The folder holds a model that no run of training put there.
  case folderHoldsModel(String)
  /// A loss or a gradient is a NaN or an infinity: the step, the loss, and the parameters whose gradients are not finite.
  case notFinite(step: Int, loss: Float, parameters: [String])
  /// The loss rose too far: the step, the latest mean loss, the least that it was, and the parameter whose gradient is the
  /// largest beside it.
  case diverged(step: Int, loss: Float, least: Float, parameter: String)

  /// The exit code that `sysexits.h` has for it: 73 for a folder that cannot be written to, 65 for contents, 1 for a run
  /// that came to nothing.
  package var exitCode: Int32 {
    switch self {
    case .file(let error): if case .cannotOpen = error.reason { 66 } else if error.isOfWriting { 73 } else { 65 }
    case .model, .folderInUse, .folderHoldsRun, .folderHoldsModel: 73
    case .checkpoint: 65
    case .notFinite, .diverged: 1
    }
  }

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .model(let error): "\(error)"
    case .checkpoint(let file, let problem): "\(quotedForMessage(file)): \(problem)"
    case .folderInUse(let folder): "\(quotedForMessage(folder)): another run is writing to this folder"
    case .folderHoldsRun(let folder):
      "\(quotedForMessage(folder)): the folder holds a run of training already; --resume goes on with it"
    case .folderHoldsModel(let folder):
      "\(quotedForMessage(folder)): the folder holds a model that was not trained here; name another folder"
    case .notFinite(let step, let loss, let parameters):
      "step \(step): "
        + (parameters.isEmpty
          ? loss.isFinite ? "the gradients are too large for their norm to be a number" : "the loss is \(loss)"
          : "the loss is \(loss), and the gradient of \(TrainingError.list(parameters)) is not finite")
    case .diverged(let step, let loss, let least, let parameter):
      """
      step \(step): the loss has diverged: \(loss) on average of late, and \(least) at its least; the largest gradient \
      for its size is that of \(parameter); a lower rate or a longer warm-up may help
      """
    }
  }

  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(3).joined(separator: ", ")
    return names.count > 3 ? "\(shown) and \(names.count - 3) more" : shown
  }
}

extension TensorFileError {
  fileprivate var isOfWriting: Bool { if case .cannotWrite = reason { true } else { false } }
}
