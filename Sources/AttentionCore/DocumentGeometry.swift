import AttentionTensors

/// Document numbers resolved against the lengths of a call.
struct DocumentGeometry: Sendable {
  /// Whether every document's keys stand together in each sequence, so that intervals say everything.
  let isContiguous: Bool
  private let query: [[Int]]
  private let key: [[Int]]
  /// From a document's number to the interval from its first key to its last, for each row of `key`.
  private let intervals: [[Int: Range<Int>]]

  /// - Precondition: one row for each sequence or one for all, each as long as its sequence.
  init(query: [[Int]], key: [[Int]], queryLengths: [Int], keyLengths: [Int]) {
    func fits(_ rows: [[Int]], _ lengths: [Int]) -> Bool {
      (rows.count == lengths.count || rows.count == 1)
        && lengths.indices.allSatisfy { rows[rows.count == 1 ? 0 : $0].count == lengths[$0] }
    }
    require(
      fits(query, queryLengths) && fits(key, keyLengths),
      """
      attention: document numbers for \(query.map(\.count)) queries and \(key.map(\.count)) keys do not fit sequences \
      of \(queryLengths) queries and \(keyLengths) keys
      """)
    self.query = query
    self.key = key
    intervals = key.map { row in
      var found: [Int: Range<Int>] = [:]
      for (position, number) in row.enumerated() {
        found[number] = (found[number]?.lowerBound ?? position)..<position + 1
      }
      return found
    }
    // The intervals cover the row exactly when none overlaps another.
    isContiguous = zip(key, intervals).allSatisfy { row, found in
      found.values.reduce(0) { $0 + $1.count } == row.count
    }
  }

  /// From the first key of the query's document to its last.
  func keys(sequence: Int, query position: Int) -> Range<Int> {
    intervals[row(key, sequence)][query[row(query, sequence)][position]] ?? 0..<0
  }

  func allows(sequence: Int, query position: Int, key keyPosition: Int) -> Bool {
    query[row(query, sequence)][position] == key[row(key, sequence)][keyPosition]
  }

  private func row(_ rows: [[Int]], _ sequence: Int) -> Int { rows.count == 1 ? 0 : sequence }
}
