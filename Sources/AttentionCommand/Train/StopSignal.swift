import Foundation
import Synchronization

/// Whether an interrupt (Control-C) or a request to end has come.
enum StopSignal {
  private static let isRaised = Atomic<Bool>(false)

  /// The first signal asks for a stop; the second one ends the process as usual.
  static func listen() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        // Nothing else is allowed here.
        StopSignal.isRaised.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }

  static var isAsked: Bool { isRaised.load(ordering: .relaxed) }
}
