package import Formats
package import HTTPFetching
import HTTPMessages
import Reactor

/// A try of a proxy: one small request through it.
package enum ProxyTest {
    /// What a request may say of it.
    package struct Draft {
        package var url: String?
        package init() {}
    }

    /// Any answer shows that the proxy carries, so what stands there matters little; it is where most accounts go.
    package static let defaultURL = "https://api.anthropic.com/"
    private static let time = Duration.seconds(15)
    private static let answerLimit = 64 * 1024

    package static var form: Form<Draft> {
        Form([
            .optional(
                "url",
                \.url,
                ValueKind<String>.text(1...2000).checked { UpstreamURL.fault(in: $0) }
                    .described("What to ask for through the proxy; \(defaultURL) if left out.").orNil,
                default: nil
            )
        ])
    }

    package static let answer: JSON = [
        "type": "object",
        "properties": [
            "ok": Schema.flag, "status": Schema.integer.nullable, "latency_ms": Schema.integer,
            "error": Schema.text.nullable,
        ],
        "required": ["ok", "status", "latency_ms", "error"],
    ]

    /// Never throws: a proxy that does not work is what this is to find out.
    package static func run(
        _ proxy: ProxyServer,
        _ draft: Draft,
        with client: UpstreamClient
    ) async -> JSON {
        let started = MonotonicTime.now
        do throws(UpstreamFailure) {
            let response = try await client.open(
                UpstreamQuestion(
                    "GET",
                    draft.url ?? defaultURL,
                    through: proxy,
                    within: time,
                    answerLimit: answerLimit
                )
            )
            // The head is enough.
            response.cancel()
            return result(.int(Int64(response.head.status)), .null, since: started)
        } catch {
            return result(.null, .string(error.description), since: started)
        }
    }

    private static func result(_ status: JSON, _ error: JSON, since started: MonotonicTime) -> JSON {
        [
            "ok": .bool(error.isNull), "status": status, "latency_ms": .int(started.elapsed.nanoseconds / 1_000_000),
            "error": error,
        ]
    }
}
