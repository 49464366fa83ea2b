package import Domain
import Formats

/// Errors in the shape of Google's APIs: `{"error":{"code","message","status","details"}}` (AIP-193).
package enum GeminiErrors {
    /// Google's name for errors of this status (google.rpc.Code).
    package static func name(ofStatus status: Int) -> String {
        switch status {
        case 401: "UNAUTHENTICATED"
        case 402: "FAILED_PRECONDITION"
        case 403: "PERMISSION_DENIED"
        case 404: "NOT_FOUND"
        case 405: "UNIMPLEMENTED"
        case 408, 504: "DEADLINE_EXCEEDED"
        case 429: "RESOURCE_EXHAUSTED"
        case 400..<500: "INVALID_ARGUMENT"
        case 500: "INTERNAL"
        default: "UNAVAILABLE"
        }
    }

    package static func body(_ error: GatewayError) -> [UInt8] {
        var json = JSONWriter(capacity: 256 + error.message.utf8.count)
        json.object {
            $0.key("error")
            $0.object {
                $0.member("code", error.status)
                $0.member("message", error.message)
                $0.member("status", name(ofStatus: error.status))
                $0.key("details")
                $0.array {
                    $0.object {
                        $0.member("@type", "type.googleapis.com/google.rpc.ErrorInfo")
                        $0.member("reason", error.code.rawValue)
                        $0.member("domain", "tollgate")
                        if let field = error.field {
                            $0.key("metadata")
                            $0.object { $0.member("field", field) }
                        }
                    }
                }
            }
        }
        return json.bytes
    }

    /// Streams without `alt=sse` put their errors into an array.
    static func read(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody? {
        let found: UpstreamErrorBody?? = try? parser.parse(body) { document in
            var root = document.root
            if root.isArray {
                var elements = root.elements
                guard let first = elements.next() else { return nil }
                root = first
            }
            guard let error = root["error"], error.isObject else { return nil }
            return UpstreamErrorBody(
                type: error["status"]?.string ?? "",
                message: error["message"]?.string ?? ""
            )
        }
        return found ?? nil
    }
}
