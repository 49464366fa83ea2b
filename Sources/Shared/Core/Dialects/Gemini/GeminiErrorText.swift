import Formats

/// Errors of Google's APIs (AIP-193) from and to the neutral form.
internal enum GeminiErrorText {
    /// Nil when the value has not the shape. Streams put their error into an array.
    ///
    /// - Parameter status: of the answer; nil within a stream.
    static func error(_ value: JSONValue, status: Int?) -> NeutralError? {
        var root = value
        if root.isArray {
            var elements = root.elements
            guard let first = elements.next() else { return nil }
            root = first
        }
        guard let error = root["error"], error.isObject else { return nil }
        let status = status ?? error["code"]?.int64.flatMap { Int(exactly: $0) }
        let kind = error["status"]?.string.flatMap(kind) ?? NeutralError.kind(ofStatus: status ?? 500)
        return NeutralError(kind, error["message"]?.string ?? "", code: reason(error))
    }

    private static func kind(_ name: String) -> NeutralError.Kind? {
        switch name {
        case "INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "ALREADY_EXISTS", "UNIMPLEMENTED":
            .invalidRequest
        case "UNAUTHENTICATED": .authentication
        case "PERMISSION_DENIED": .permission
        case "NOT_FOUND": .notFound
        case "RESOURCE_EXHAUSTED": .rateLimited
        case "UNAVAILABLE": .overloaded
        case "DEADLINE_EXCEEDED", "CANCELLED": .timeout
        case "INTERNAL", "UNKNOWN", "DATA_LOSS", "ABORTED": .upstream
        default: nil
        }
    }

    /// `details[].reason` of an ErrorInfo.
    private static func reason(_ error: JSONValue) -> String? {
        for detail in error["details"]?.elements ?? error.elements {
            if let reason = detail["reason"]?.string { return reason }
        }
        return nil
    }

    static func body(_ error: NeutralError, status: Int) -> [UInt8] {
        var json = JSONWriter(capacity: 160 + error.message.utf8.count)
        write(error, status: status, to: &json)
        return json.bytes
    }

    static func write(_ error: NeutralError, status: Int, to json: inout JSONWriter) {
        json.object { json in
            json.key("error")
            json.object { json in
                json.member("code", status)
                json.member("message", error.message)
                json.member("status", name(error.kind, status))
                guard error.code != nil || error.field != nil else { return }
                json.key("details")
                json.array { json in
                    json.object { json in
                        json.member("@type", "type.googleapis.com/google.rpc.ErrorInfo")
                        if let code = error.code { json.member("reason", code) }
                        guard let field = error.field else { return }
                        json.key("metadata")
                        json.object { $0.member("field", field) }
                    }
                }
            }
        }
    }

    private static func name(_ kind: NeutralError.Kind, _ status: Int) -> String {
        switch kind {
        case .overloaded: "UNAVAILABLE"
        case .upstream where status == 200 || status == 500: "INTERNAL"
        default: GeminiErrors.name(ofStatus: status)
        }
    }
}
