import Foundation

/// Bars in groups, drawn as SVG: GFLOP/s by case, a bar for each path.
public struct BarChart: Sendable {
  /// The heading.
  public var title: String
  /// Smaller lines below it.
  public var notes: [String]
  /// What the bars' heights are.
  public var axis: String
  /// What stands below each group.
  public var groups: [String]
  /// The bars of a group, left to right, with what the legend calls them; a value for each group, nil where there is
  /// none.
  public var series: [(name: String, values: [Double?])]
  /// A horizontal line, such as the machine's peak.
  public var line: (name: String, value: Double)?

  package init(
    title: String, notes: [String], axis: String, groups: [String], series: [(name: String, values: [Double?])],
    line: (name: String, value: Double)?
  ) {
    self.title = title
    self.notes = notes
    self.axis = axis
    self.groups = groups
    self.series = series
    self.line = line
  }

  /// Colours that people with colour-blindness tell apart (Okabe and Ito, 2008).
  private static let colours = ["#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]

  private static let barWidth = 26.0
  private static let gap = 24.0
  private static let plotHeight = 300.0
  private static let top = 126.0
  private static let left = 76.0

  /// The chart as a file of SVG 1.1.
  public var svg: String {
    let groupWidth = Self.barWidth * Double(max(1, series.count)) + Self.gap
    // The notes are set in 11 units, some 5.9 a character.
    let plotWidth = max(groupWidth * Double(groups.count), 5.9 * Double(notes.map(\.count).max() ?? 0) - 80, 420)
    let longest = Double(groups.map(\.count).max() ?? 0)
    // Labels hang at 35°: 7 units a character, of which sin 35° go down and cos 35° to the left.
    let width = Self.left + plotWidth + 40
    let height = Self.top + Self.plotHeight + 36 + longest * 7 * 0.574
    let indent = max(0, longest * 7 * 0.82 - Self.left - groupWidth / 2)
    let values = series.flatMap { $0.values.compactMap(\.self) } + (line.map { [$0.value] } ?? [])
    let ticks = Self.ticks(upTo: values.filter(\.isFinite).max() ?? 1)
    let highest = ticks.last ?? 1

    func y(_ value: Double) -> Double { Self.top + Self.plotHeight * (1 - value / highest) }
    var parts = [
      """
      <?xml version="1.0" encoding="UTF-8"?>
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="\(Self.round(-indent)) 0 \(Self.round(width + indent)) \
      \(Self.round(height))" width="\(Self.round(width + indent))" height="\(Self.round(height))" \
      font-family="Helvetica, Arial, sans-serif">
      <title>\(Self.escaped(title))</title>
      <rect x="\(Self.round(-indent))" y="0" width="100%" height="100%" fill="#ffffff"/>
      """,
      Self.text(title, x: 16, y: 26, size: 17, isBold: true),
      """
      <text transform="translate(18 \(Self.round(Self.top + Self.plotHeight / 2))) rotate(-90)" \
      text-anchor="middle" font-size="12">\(Self.escaped(axis))</text>
      """,
    ]
    for (number, note) in notes.enumerated() {
      parts.append(Self.text(note, x: 16, y: 46 + 15 * Double(number), size: 11, fill: "#555555"))
    }
    for tick in ticks {
      parts.append(Self.rule(y: y(tick), width: plotWidth, stroke: tick == 0 ? "#333333" : "#dddddd"))
      parts.append(Self.text(String(format: "%g", tick), x: Self.left - 8, y: y(tick) + 4, size: 11, anchor: "end"))
    }
    for (index, group) in groups.enumerated() {
      let start = Self.left + Double(index) * groupWidth + Self.gap / 2
      for (number, bars) in series.enumerated() {
        guard let value = bars.values[index], value.isFinite else { continue }
        let x = start + Double(number) * Self.barWidth
        let colour = Self.colours[number % Self.colours.count]
        parts.append(
          """
          <rect x="\(Self.round(x + 1))" y="\(Self.round(y(value)))" width="\(Self.round(Self.barWidth - 2))" \
          height="\(Self.round(max(0, y(0) - y(value))))" fill="\(colour)"><title>\
          \(Self.escaped("\(group) \(bars.name): \(Decimals.short(value))"))</title></rect>
          """)
        parts.append(
          Self.text(Decimals.short(value), x: x + Self.barWidth / 2, y: y(value) - 4, size: 9, anchor: "middle"))
      }
      let middle = start + (groupWidth - Self.gap) / 2
      parts.append(
        """
        <text transform="translate(\(Self.round(middle + 4)) \(Self.round(y(0) + 16))) rotate(-35)" \
        text-anchor="end" font-size="12">\(Self.escaped(group))</text>
        """)
    }
    if let line {
      parts.append(Self.rule(y: y(line.value), width: plotWidth, stroke: "#D55E00", dashes: "6 4"))
      parts.append(
        Self.text(
          "\(line.name) \(Decimals.short(line.value))", x: Self.left + plotWidth, y: y(line.value) - 5, size: 11,
          anchor: "end", fill: "#D55E00"))
    }
    parts.append(legend)
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  private var legend: String {
    var x = Self.left
    return series.enumerated().map { number, bars in
      defer { x += 34 + 8 * Double(bars.name.count) }
      return """
        <rect x="\(Self.round(x))" y="84" width="12" height="12" \
        fill="\(Self.colours[number % Self.colours.count])"/>
        """ + Self.text(bars.name, x: x + 18, y: 94, size: 12)
    }.joined(separator: "\n")
  }

  /// Round numbers from 0 to the first that is not below `highest`.
  package static func ticks(upTo highest: Double) -> [Double] {
    guard highest.isFinite, highest > 0 else { return [0, 1] }
    var power = 1.0
    while power * 10 <= highest { power *= 10 }
    while power > highest { power /= 10 }
    let step = [0.2, 0.25, 0.5, 1, 2].map { $0 * power }.first { highest / $0 <= 6 } ?? 2 * power
    return (0...Int((highest / step).rounded(.up))).map { Double($0) * step }
  }

  private static func rule(y: Double, width: Double, stroke: String, dashes: String? = nil) -> String {
    let pattern = dashes.map { " stroke-dasharray=\"\($0)\"" } ?? ""
    return """
      <line x1="\(round(left))" y1="\(round(y))" x2="\(round(left + width))" y2="\(round(y))" \
      stroke="\(stroke)"\(pattern)/>
      """
  }

  private static func text(
    _ text: String, x: Double, y: Double, size: Int, anchor: String = "start", isBold: Bool = false,
    fill: String = "#222222"
  ) -> String {
    """
    <text x="\(round(x))" y="\(round(y))" font-size="\(size)" text-anchor="\(anchor)" fill="\(fill)"\
    \(isBold ? " font-weight=\"bold\"" : "")>\(escaped(text))</text>
    """
  }

  private static func round(_ value: Double) -> String { Decimals.fixed(value, 1) }

  /// Text as XML's character data: its own marks as entities, and without what XML 1.0 has no way to write.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{FFFE}"..."\u{FFFF}":
        result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension BarChart {
  /// The chart of a report: GFLOP/s by case and path, with the GEMM peak.
  public init(_ report: Report<AttentionRow>) {
    var cases: [String] = []
    var paths: [String] = []
    for row in report.rows {
      if !cases.contains(row.name) { cases.append(row.name) }
      if !paths.contains(row.path) { paths.append(row.path) }
    }
    let speeds = Dictionary(report.rows.map { ($0.key, $0.gflops) }) { first, _ in first }
    self.init(
      title: "Scaled dot-product attention", notes: report.machine.summary,
      axis: "GFLOP/s of useful work", groups: cases,
      series: paths.map { path in (path, cases.map { speeds["\($0) \(path)"] }) },
      line: report.machine.gemmPeak.map { ("GEMM peak", $0) })
  }
}
