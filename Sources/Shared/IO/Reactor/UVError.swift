import CUV

/// A failed libuv call: which one, and why.
package struct UVError: Error, Equatable, CustomStringConvertible {
    package let call: String
    package let code: Int32

    package init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    package var isEndOfFile: Bool { code == UV_EOF.rawValue }

    package var description: String {
        guard let text = uv_strerror(code) else { return "\(call): error \(code)" }
        return "\(call): \(String(cString: text))"
    }
}

@discardableResult
package func uv(_ call: StaticString, _ body: () -> Int32) throws(UVError) -> Int32 {
    let code = body()
    guard code >= 0 else { throw UVError(call: "\(call)", code: code) }
    return code
}
