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
    // A program that starts this one from a thread that takes no signals hands that on.
    var numbers = sigset_t()
    sigemptyset(&numbers)
    for number in [SIGINT, SIGTERM] { sigaddset(&numbers, number) }
    pthread_sigmask(SIG_UNBLOCK, &numbers, nil)
  }

  static var isAsked: Bool { isRaised.load(ordering: .relaxed) }
}
