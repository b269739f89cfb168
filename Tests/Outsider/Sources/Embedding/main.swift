import Attention
import AttentionModels

let folder = ModelFolder(path: ".build/models/all-MiniLM-L6-v2")  // scripts/fetch-model brings it
let encoder = try SentenceEncoder(folder)
let rows: Tensor = encoder.embed(["A cat sleeps.", "The kitten is napping.", "Shares fell by 3%."])  // [3, 384]
func cosine(_ a: Int, _ b: Int) -> Float { (0..<encoder.width).reduce(0) { $0 + rows[a, $1] * rows[b, $1] } }
print(cosine(0, 1) > cosine(0, 2))  // true
