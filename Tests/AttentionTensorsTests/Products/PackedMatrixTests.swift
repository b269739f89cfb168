import Attention
import AttentionTestSupport
import Testing

/// What is packed comes out as it was.
@Suite struct PackedMatrixTests {
  @Test(arguments: [
    (0, 0), (0, 5), (5, 0), (1, 1), (3, 16), (7, 17), (9, 63), (8, 64), (65, 65), (130, 200), (384, 96),
  ])
  func unpackingGivesWhatWasPacked(inner: Int, columns: Int) {
    for (edge, gap) in [(GuardedBuffer<Float>.Edge.end, 0), (.start, 3)] {
      let rows = FloatMatrix(random: inner, columns, seed: 1, gap: gap, edge: edge)
      let turned = FloatMatrix(rows.transposed, rows: columns, columns: inner, gap: gap, edge: edge)
      for packed in [PackedMatrix(copying: rows.view), PackedMatrix(transposing: turned.view)] {
        #expect(packed.inner == inner && packed.columns == columns)
        #expect(packed.unpacked() == Tensor(rows.values, shape: [inner, columns]))
        #expect(packed.unpackedTransposed() == Tensor(turned.values, shape: [columns, inner]))
        let width = ProductTiles.current.smallVolume == nil ? columns : ProductTiles.padded(columns)
        #expect(packed.byteCount == inner * width * 4)
      }
    }
  }
}
