import AttentionTraining
import Testing

/// Checks that a batch is a function of its place alone: the same in whatever order places are asked for, of another value
/// that was made equally, and from several tasks at once.
func expectFunctionOfPlace<Data: TrainingData>(_ make: () throws -> Data) async throws where Data.Batch: Equatable {
  let data = try make()
  let places = (0..<3).flatMap { epoch in (0..<data.batchCount(ofEpoch: epoch)).map { (epoch, $0) } }
  let batches = places.map { data.batch($0.1, ofEpoch: $0.0) }
  let fresh = try make()
  for (place, batch) in zip(places, batches).reversed() {
    let found = fresh.batch(place.1, ofEpoch: place.0)
    #expect(found == batch, "\(place), asked for in reverse")
  }
  var generator = SplitMix(state: 1)
  let shuffled = Array(places.indices).shuffled(using: &generator)
  let wrong = await withTaskGroup(of: Int.self) { group in
    for task in 0..<4 {
      group.addTask {
        shuffled.indices.count {
          let index = shuffled[($0 * (2 * task + 1) + task) % shuffled.count]
          return data.batch(places[index].1, ofEpoch: places[index].0) != batches[index]
        }
      }
    }
    return await group.reduce(0, +)
  }
  #expect(wrong == 0, "batches that differ when four tasks ask")
  // Epochs are not all alike.
  #expect(data.batch(0, ofEpoch: 0) != data.batch(0, ofEpoch: 1))
}
