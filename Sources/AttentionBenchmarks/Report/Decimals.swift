import Foundation

/// Numbers for people to read.
package enum Decimals {
  /// With a fixed number of digits after the point.
  package static func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

  /// With about three digits that say something.
  package static func short(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-∞" : "∞" }
    let size = abs(value)
    if size != 0 && size < 0.001 { return String(format: "%.1e", value) }
    return fixed(value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3)
  }

  /// Bytes with a unit.
  package static func bytes(_ count: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var value = Double(count)
    var unit = 0
    while value >= 1024, unit + 1 < units.count {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(count) B" : "\(fixed(value, value < 10 ? 1 : 0)) \(units[unit])"
  }
}
