import CNGHTTP2

/// A failed nghttp2 call: which one, and why.
package struct HTTP2Error: Error, Equatable, CustomStringConvertible {
    package let call: String
    package let code: Int32

    package init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    package var description: String {
        guard let text = nghttp2_strerror(code) else { return "\(call): error \(code)" }
        return "\(call): \(String(cString: text))"
    }
}

@discardableResult
package func nghttp2(_ call: StaticString, _ body: () -> Int32) throws(HTTP2Error) -> Int32 {
    let code = body()
    guard code >= 0 else { throw HTTP2Error(call: "\(call)", code: code) }
    return code
}
