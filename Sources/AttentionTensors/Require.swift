/// Ends the process with a message when a caller has broken a precondition.
///
/// As `precondition`, whose message an optimised build leaves out: there the shapes in it are needed most.
@inline(__always)
package func require(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) {
  if !condition() { fatalError(message(), file: file, line: line) }
}
