/// Something that is measured in samples of several runs each, taken in turns with other work.
package struct TimedWork {
  /// What it is called while it runs.
  let name: String
  /// A sample lasts this long at the least.
  let sampleSeconds: Double
  /// The samples to take, unless `budget` ends them earlier.
  let repeats: Int
  /// The seconds after which no more samples are taken than ``fewestSamples``; nil: all are taken.
  let budget: Double?
  /// Runs the work a number of times.
  let run: (_ iterations: Int) -> Void
  /// Calls what it is given, with whatever the work needs set up before and put back afterwards, outside of the timing.
  let surround: (_ body: () -> Void) -> Void

  private(set) var iterations = 1
  /// Runs before each sample that are not timed.
  private(set) var warmUps = 0
  private(set) var plannedSamples = 0
  /// The seconds of one run, a sample each.
  package private(set) var samples: [Double] = []

  /// The samples that are taken of the longest work.
  static let fewestSamples = 5

  /// How long a sample is warmed up, and the runs that are so long that the start of one does not count.
  private static let (warmUpSeconds, longSeconds) = (0.05, 0.2)

  package init(
    _ name: String, repeats: Int, budget: Double?, sampleSeconds: Double = 0.002,
    surround: @escaping (_ body: () -> Void) -> Void = { $0() }, run: @escaping (_ iterations: Int) -> Void
  ) {
    self.name = name
    self.repeats = repeats
    self.budget = budget
    self.sampleSeconds = sampleSeconds
    self.surround = surround
    self.run = run
  }

  /// Runs the work until a sample is long enough, which warms it up too; plans the samples.
  package mutating func warmUp() {
    var elapsed = shortest(of: 1)
    while elapsed < sampleSeconds, iterations < 1 << 30 {
      let missing = sampleSeconds / max(elapsed, 1e-9)
      iterations = max(iterations + 1, Int((Double(iterations) * min(missing, 100) * 1.1).rounded(.up)))
      elapsed = shortest(of: iterations)
    }
    let seconds = max(elapsed / Double(iterations), 1e-9)
    warmUps = seconds > TimedWork.longSeconds ? 0 : Int((TimedWork.warmUpSeconds / seconds).rounded(.up))
    plannedSamples = repeats
    if let budget, Double(repeats) * elapsed > budget {
      plannedSamples = min(repeats, max(TimedWork.fewestSamples, Int(budget / elapsed)))
    }
  }

  /// The seconds that so many runs take: the least of three times unless they are long. A first run that was disturbed
  /// would make samples too short.
  private func shortest(of iterations: Int) -> Double {
    var seconds = 0.0
    surround {
      seconds = Stopwatch.seconds { run(iterations) }
      for _ in 0..<2 where seconds < TimedWork.longSeconds {
        seconds = min(seconds, Stopwatch.seconds { run(iterations) })
      }
    }
    return seconds
  }

  mutating func takeSample() {
    // A steady state is measured, as it is of other engines: other work has just had the caches and the clock, and put
    // the threads to sleep.
    var seconds = 0.0
    surround {
      if warmUps > 0 { run(warmUps) }
      seconds = Stopwatch.seconds { run(iterations) }
    }
    samples.append(seconds / Double(iterations))
  }

  /// Whether a sample is due in a round, the planned samples being spread evenly over all rounds.
  package func isDue(round: Int, of rounds: Int) -> Bool {
    (round + 1) * plannedSamples / rounds > round * plannedSamples / rounds
  }
}

extension [TimedWork] {
  /// Takes all samples of all works, in rounds of seeded random order: what disturbs the machine for a while then
  /// disturbs all of them alike.
  package mutating func measureInterleaved(
    using generator: inout some RandomNumberGenerator, progress: (_ done: Int, _ all: Int, _ name: String) -> Void
  ) {
    for index in indices {
      progress(0, 0, self[index].name)
      self[index].warmUp()
    }
    let rounds = map(\.plannedSamples).max() ?? 0
    let all = map(\.plannedSamples).reduce(0, +)
    var done = 0
    for round in 0..<rounds {
      for index in indices.shuffled(using: &generator) where self[index].isDue(round: round, of: rounds) {
        progress(done, all, self[index].name)
        self[index].takeSample()
        done += 1
      }
    }
  }
}
