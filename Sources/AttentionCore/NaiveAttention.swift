import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The formula as a reader would write it: for each query a loop over keys, in float32, one head a task.
///
/// The twin of the fast paths: it tests every cell by itself, and uses none of their kernels.
func runNaive(_ problem: AttentionProblem) {
  WorkerPool.shared.forEach(problem.shape.sequenceCount * problem.shape.heads) { task in
    let (sequence, head) = task.quotientAndRemainder(dividingBy: problem.shape.heads)
    for query in 0..<problem.shape.queryLengths[sequence] {
      naiveRow(problem, sequence: sequence, head: head, query: query)
    }
  }
}

private func naiveRow(_ problem: AttentionProblem, sequence: Int, head: Int, query: Int) {
  let shape = problem.shape
  let mask = problem.mask
  let keys = shape.keyLengths[sequence]
  let keyValueHead = shape.keyValueHead(of: head)
  let queryRow = problem.query.row(sequence: sequence, head: head, row: query)
  let visible = mask.interval(sequence: sequence, head: head, query: query)
  let needsHidden = problem.scoreOutput(.raw) != nil || problem.scoreOutput(.capped) != nil
  let rawOutput = problem.scoreOutput(.raw)?.row(sequence: sequence, head: head, row: query)
  let cappedOutput = problem.scoreOutput(.capped)?.row(sequence: sequence, head: head, row: query)

  // Scores. `allowed` and not a score of −∞ tells what is masked: a visible score may be −∞ too.
  var scores = [Float](repeating: -.infinity, count: keys)
  var allowed = [Bool](repeating: false, count: keys)
  for key in needsHidden ? 0..<mask.existingKeys[sequence] : visible {
    allowed[key] =
      visible.contains(key) && mask.cellAllows(sequence: sequence, head: head, query: query, key: key)
    guard allowed[key] || needsHidden else { continue }
    let keyRow = problem.key.row(sequence: sequence, head: keyValueHead, row: key)
    var product: Float = 0
    for column in 0..<shape.keyWidth { product += queryRow[column] * keyRow[column] }
    var score = problem.scale * product
    rawOutput?[key] = score
    if let cap = problem.softcap { score = cap * tanhf(score / cap) }
    cappedOutput?[key] = score
    if allowed[key] { scores[key] = score + mask.bias(sequence: sequence, head: head, query: query, key: key) }
  }
  for key in mask.existingKeys[sequence]..<keys {
    rawOutput?[key] = -.infinity
    cappedOutput?[key] = -.infinity
  }
  if let row = problem.scoreOutput(.biased)?.row(sequence: sequence, head: head, row: query) {
    row.update(from: scores, count: keys)
  }

  // Softmax over the allowed keys.
  var maximum = -Float.infinity
  for key in 0..<keys where allowed[key] && !(scores[key] <= maximum) {
    maximum = scores[key]
    if maximum.isNaN { break }
  }
  var weights = [Float](repeating: 0, count: keys)
  var sum: Float = 0
  for key in 0..<keys where allowed[key] {
    weights[key] = expf(scores[key] - maximum)
    sum += weights[key]
  }
  for key in 0..<keys where allowed[key] { weights[key] /= sum }
  if let row = problem.weights?.row(sequence: sequence, head: head, row: query) {
    row.update(from: weights, count: keys)
  }
  problem.logSumExp?.row(sequence: sequence, head: head, row: query).pointee =
    maximum.isInfinite ? maximum : maximum + logf(sum)

  problem.writeStatistics(sequence: sequence, head: head, row: query, reference: maximum, sum: sum)

  // Weights times values.
  if let dropout = problem.dropout {
    let place = AttentionDropout.RowPlace(sequence: sequence, heads: shape.heads, head: head, query: query)
    dropout.apply(to: weights, into: &weights, count: keys, row: place, firstKey: 0)
  }
  let output = problem.output.row(sequence: sequence, head: head, row: query)
  output.update(repeating: 0, count: shape.valueWidth)
  for key in 0..<keys where allowed[key] {
    let valueRow = problem.value.row(sequence: sequence, head: keyValueHead, row: key)
    for column in 0..<shape.valueWidth { output[column] += weights[key] * valueRow[column] }
  }
}
