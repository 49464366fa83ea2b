import Glibc
import HTTPWire

/// What libFuzzer calls with each input; `TOLLGATE_FUZZ_TARGET` says what is fed with it. Built by `dev/fuzz` only.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    target(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
}

private let target: @Sendable ([UInt8]) -> Void = {
    switch getenv("TOLLGATE_FUZZ_TARGET").map({ String(cString: $0) }) {
    case "sse": return { SSETarget.feed($0) }
    case "aws-events": return { AWSEventsTarget.feed($0) }
    case "http1-requests": return { HTTP1Target.feed($0, .requests) }
    case "http1-responses": return { HTTP1Target.feed($0, .responses) }
    case "server-http1": return { ServerTarget.shared.feed($0, preface: []) }
    case "server-http2": return { ServerTarget.shared.feed($0, preface: ServerTarget.http2Preface) }
    case "client-http2": return { ClientTarget.shared.feed($0) }
    case "requests": return { RequestTarget.feed($0) }
    case "answers": return { AnswerTarget.feed($0) }
    case "refusals": return { RefusalTarget.feed($0) }
    case let name: fatalError("no fuzz target \(name ?? "")")
    }
}()

/// Where an input is cut into pieces: its first bytes say so, and are no part of it.
struct Cuts {
    let bytes: ArraySlice<UInt8>
    let pieces: [ArraySlice<UInt8>]

    init(_ input: [UInt8]) {
        let count = Int(input.first ?? 0) % 8
        let places = input.dropFirst().prefix(count)
        bytes = input.dropFirst(1 + places.count)
        var rest = bytes
        var pieces: [ArraySlice<UInt8>] = []
        for place in places {
            let length = rest.isEmpty ? 0 : Int(place) * 31 % (rest.count + 1)
            pieces.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        self.pieces = pieces + [rest]
    }
}
