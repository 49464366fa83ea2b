import Formats
import HTTPMessages

extension RequestRecord {
    /// The record as the control API shows it.
    func write(to json: inout JSONWriter, withBody: Bool) {
        json.object {
            $0.member("id", id)
            $0.member("time", RFC3339.format(receivedAt, .microseconds))
            $0.member("method", head.method)
            $0.member("path", String(head.path))
            $0.member("query", String(head.query))
            $0.member("protocol", version == .http1 ? "http/1.1" : "h2")
            $0.member("tls", isTLS)
            $0.arrayMember("headers") {
                for (name, value) in head.headers.strings {
                    $0.array {
                        $0.string(name)
                        $0.string(value)
                    }
                }
            }
            $0.member("credential", credential?.secret)
            $0.member("credential_kind", credential?.kind.rawValue)
            $0.member("model", model)
            $0.member("stream", isStream)
            $0.member("fault", fault)
            $0.member("status", status)
            $0.member("end", end.rawValue)
            $0.member("bytes_sent", bytesSent)
            $0.member("duration_us", duration)
            $0.key("usage")
            usage.write(to: &$0)
            $0.member("body_bytes", bodyCount)
            $0.member("body_digest", bodyDigest)
            if withBody { writeBody(to: &$0) }
        }
    }

    private func writeBody(to json: inout JSONWriter) {
        guard let body else { return json.null("body") }
        if let text = String(validating: body, as: UTF8.self) {
            json.member("body", text)
        } else {
            json.member("body_base64", Base64.encode(body))
        }
    }
}

extension RequestLog {
    /// The sums as the control API shows them.
    func writeStats(to json: inout JSONWriter) {
        json.object {
            $0.member("requests", totals.calls)
            $0.member("open", openCalls)
            $0.objectMember("by_status") {
                for (status, count) in byStatus.sorted(by: { $0.key < $1.key }) {
                    $0.key(status == 0 ? "none" : String(status))
                    $0.int(count)
                }
            }
            $0.objectMember("by_end") {
                for end in CallEnd.allCases where end != .open {
                    $0.key(end.rawValue)
                    $0.int(byEnd[end] ?? 0)
                }
            }
            Self.write(totals, to: &$0)
            $0.objectMember("by_credential") {
                for (credential, totals) in byCredential.sorted(by: { $0.key < $1.key }) {
                    $0.key(credential)
                    $0.object {
                        $0.member("requests", totals.calls)
                        Self.write(totals, to: &$0)
                    }
                }
            }
        }
    }

    private static func write(_ totals: Totals, to json: inout JSONWriter) {
        json.member("completed", totals.completed)
        json.key("completed_usage")
        totals.completedUsage.write(to: &json)
        json.key("usage")
        totals.usage.write(to: &json)
    }
}
