import AttentionTensors
import AttentionTestSupport
import Foundation
import Testing

@Suite struct OpenBLASTests {
  @Test func openBLASAnswers() {
    #expect(OpenBLAS.answersForCBLAS)
    #expect(OpenBLAS.libraryPath?.contains("blas") == true)
    #expect(OpenBLAS.version.first?.isNumber == true)
    #expect(!OpenBLAS.coreName.isEmpty)
    #expect(Engine.warnings.count == (OpenBLAS.threading == .serial ? 1 : 0))
    // `scripts/test` runs this suite over Debian's three variants and says which it has put first.
    if let expected = ProcessInfo.processInfo.environment["ATTENTION_TEST_BLAS_THREADING"] {
      #expect(OpenBLAS.threading.rawValue == expected)
    }
    if let expected = ProcessInfo.processInfo.environment["ATTENTION_ISA"] {
      #expect(KernelSet.current.rawValue == expected)
    }
  }

  /// Products that OpenBLAS would like to share out stay on their thread: none is started (OpenMP starts its threads at
  /// the first such product), and the setting is 1 (the pthread variant has its threads from the beginning), even when
  /// the host program raises it in between.
  @Test func productsStayOnTheirThread() async {
    await #expect(processExitsWith: .success) {
      WorkerPool.shared.forEach(64) { _ in usleep(100) }
      let before = try processThreadCount()
      for _ in 0..<3 {
        SystemLibraries.setOpenBLASThreads(2)
        WorkerPool.shared.forEach(16) { _ in
          let a = Tensor(repeating: 0.5, shape: [512, 512])
          var result = Tensor(zeros: [512, 512])
          result.withUnsafeMutableBufferPointer { buffer in
            let view = MatrixView(base: a.unsafeBase, rows: 512, columns: 512, rowStride: 512)
            MatrixProduct.multiply(
              view, view, into: MutableMatrixView(base: buffer.baseAddress!, rows: 512, columns: 512, rowStride: 512))
          }
          if OpenBLAS.threading == .pthread, SystemLibraries.openBLASThreads != 1 { exit(3) }
        }
      }
      if try processThreadCount() != before { exit(4) }
    }
  }

  /// The three forms that attention uses, strided, with rubbish in the result before.
  @Test(arguments: [(1, 1, 1), (5, 7, 3), (64, 128, 64), (48, 65, 17), (130, 257, 64), (3, 4, 0), (0, 4, 3), (4, 0, 3)])
  func productsAgreeWithFloat64(_ rows: Int, _ columns: Int, _ inner: Int) {
    var generator = SeededGenerator(seed: 2)
    for transposing in [false, true] {
      for padding in [0, 5] {
        let left = Tensor(randomNormal: [max(1, rows), inner + padding], using: &generator)
        let rightRows = transposing ? columns : inner
        let rightColumns = transposing ? inner : columns
        let right = Tensor(randomNormal: [max(1, rightRows), rightColumns + padding], using: &generator)
        var result = Tensor(repeating: .nan, shape: [max(1, rows), columns + padding])
        let leftView = MatrixView(base: left.unsafeBase, rows: rows, columns: inner, rowStride: inner + padding)
        let rightView = MatrixView(
          base: right.unsafeBase, rows: rightRows, columns: rightColumns, rowStride: rightColumns + padding)
        result.withUnsafeMutableBufferPointer { buffer in
          let pointer = SendablePointer(buffer.baseAddress!)
          let (leftView, rightView) = (SendableValue(leftView), SendableValue(rightView))
          WorkerPool.shared.forEach(1) { _ in
            MatrixProduct.multiply(
              leftView.value, rightView.value, transposingRight: transposing, factor: 0.5,
              into: MutableMatrixView(base: pointer.value, rows: rows, columns: columns, rowStride: columns + padding))
          }
        }
        for i in 0..<rows {
          for j in 0..<columns {
            let expected = (0..<inner).reduce(0.0) { sum, k in
              sum + 0.5 * Double(left[i, k]) * Double(transposing ? right[j, k] : right[k, j])
            }
            #expect(abs(Double(result[i, j]) - expected) <= 1e-5)
          }
          // What lies between the rows is left alone.
          for j in columns..<columns + padding { #expect(result[i, j].isNaN) }
        }
      }
    }
  }

  @Test func dimensionsPast32Bits() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [4])
      var y = Tensor(zeros: [4])
      let view = MatrixView(base: x.unsafeBase, rows: 1, columns: 1, rowStride: 1 << 31)
      y.withUnsafeMutableBufferPointer {
        MatrixProduct.multiply(
          view, view, into: MutableMatrixView(base: $0.baseAddress!, rows: 1, columns: 1, rowStride: 1))
      }
    }
    #expect(message(result).contains("2147483648"))
  }

  /// LAPACKE is linked and agrees with itself: Q·R is the matrix again.
  @Test func lapackeFactorises() throws {
    let original: [Float] = [2, -1, 0, 1, 3, 5, 4, 0, 1]
    let (orthogonal, upper) = try #require(SystemLibraries.factorise(original, order: 3))
    for i in 0..<3 {
      for j in 0..<3 {
        let product = (0..<3).reduce(Float(0)) { $0 + orthogonal[i * 3 + $1] * upper[$1 * 3 + j] }
        #expect(abs(product - original[i * 3 + j]) < 1e-5)
      }
    }
  }
}

/// The threads of this process, as the kernel counts them.
private func processThreadCount() throws -> Int {
  let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
  let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Threads:") })
  return try #require(Int(line.split(separator: "\t")[1]))
}

struct SendablePointer: @unchecked Sendable {
  let value: UnsafeMutablePointer<Float>
  init(_ value: UnsafeMutablePointer<Float>) { self.value = value }
}

struct SendableValue<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
