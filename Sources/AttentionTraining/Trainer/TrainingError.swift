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
  /// A loss or a gradient is a NaN or an infinity: the step, the loss, and the parameters whose gradients are not finite.
  case notFinite(step: Int, loss: Float, parameters: [String])
  /// The loss rose too far: the step, the latest mean loss, the least that it was, and the parameter whose gradient is the
  /// largest beside it.
  case diverged(step: Int, loss: Float, least: Float, parameter: String)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .model(let error): "\(error)"
    case .checkpoint(let file, let problem): "\(quotedForMessage(file)): \(problem)"
    case .folderInUse(let folder): "\(quotedForMessage(folder)): another run is writing to this folder"
    case .folderHoldsRun(let folder): "\(quotedForMessage(folder)): the folder holds a run of training already"
    case .notFinite(let step, let loss, let parameters):
      "step \(step): "
        + (parameters.isEmpty
          ? "the loss is \(loss)"
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
