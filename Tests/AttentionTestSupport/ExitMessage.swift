import Testing

/// What a process that was expected to exit wrote to its standard error.
package func message(_ result: ExitTest.Result?) -> String {
  String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
}
