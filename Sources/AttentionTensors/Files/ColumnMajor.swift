/// Copies elements that lie with the first axis running fastest to where the last axis runs fastest.
func copyToRowMajor<Element: BitwiseCopyable>(
  _ source: UnsafeBufferPointer<Element>, shape: [Int], into destination: UnsafeMutableBufferPointer<Element>
) {
  guard !source.isEmpty else { return }
  // Axes of length 1 change no order, and there may be very many of them.
  var axes: [(length: Int, stride: Int)] = []
  var stride = 1
  for length in shape where length > 1 {
    axes.append((length, stride))
    stride *= length
  }
  var indices = [Int](repeating: 0, count: axes.count)
  var position = 0
  for place in destination.indices {
    destination[place] = source[position]
    var axis = axes.count - 1
    while axis >= 0 {
      indices[axis] += 1
      position += axes[axis].stride
      if indices[axis] < axes[axis].length { break }
      position -= axes[axis].stride * axes[axis].length
      indices[axis] = 0
      axis -= 1
    }
  }
}
