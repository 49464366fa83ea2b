package import Domain
import Formats

/// Errors in the shape of the OpenAI APIs: `{"error":{"message","type","code","param"}}`.
package enum OpenAIErrors {
    package static func type(forStatus status: Int) -> String {
        switch status {
        case 401: "authentication_error"
        case 402: "insufficient_quota"
        case 403: "permission_error"
        case 429: "rate_limit_error"
        case 400..<500: "invalid_request_error"
        default: "server_error"
        }
    }

    package static func body(_ error: GatewayError) -> [UInt8] {
        var json = JSONWriter(capacity: 160 + error.message.utf8.count)
        json.object {
            $0.key("error")
            $0.object {
                $0.member("message", error.message)
                $0.member("type", type(forStatus: error.status))
                $0.member("param", error.field)
                $0.member("code", error.code.rawValue)
            }
        }
        return json.bytes
    }

    /// Reads `{"error":{"message","type","code"}}`; the code says more than the type where there is one.
    static func read(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody? {
        let found: UpstreamErrorBody?? = try? parser.parse(body) { document in
            guard let error = document.root["error"] else {
                // How some of its services refuse credentials.
                guard let detail = document.root["detail"]?.string else { return nil }
                return UpstreamErrorBody(type: "detail", message: detail)
            }
            if let text = error.string { return UpstreamErrorBody(type: "", message: text) }
            guard error.isObject else { return nil }
            return UpstreamErrorBody(
                type: error["code"]?.string ?? error["type"]?.string ?? "",
                message: error["message"]?.string ?? ""
            )
        }
        return found ?? nil
    }
}
