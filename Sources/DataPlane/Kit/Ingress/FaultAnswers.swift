import Dialects
import Domain
import HTTPMessages
package import HTTPServing
import Reactor
import Telemetry

/// Answers to requests that break HTTP, exceed its limits or never come to the end of their heads, in the shape that
/// every other error has.
///
/// The dialect is the path's. Where not even the request line was understood there is no path, and the answer is in
/// Anthropic's shape, as those of paths that do not exist are.
package struct FaultAnswers {
    private let context: WorkerContext

    package init(_ context: WorkerContext) { self.context = context }

    package func answer(_ fault: ProtocolFault) -> FaultAnswer {
        let requestID = context.requestIDs.next(at: .now)
        let error = Self.error(fault.status)
        let dialect = fault.request.map { RouteTable.dialect(of: $0) } ?? .anthropic
        var answer = CallerErrors.whole(
            error,
            dialect.wire,
            requestID: requestID,
            allow: fault.status == 405 ? FaultAnswer.methods : nil
        )
        if let request = fault.request, let cors = context.config?.cors {
            cors.fields(for: request).forEach { answer.head.headers.add($0, $1) }
        }
        note(fault, requestID)
        return answer
    }

    /// Such requests count, and have their line in the log, like all others.
    private func note(_ fault: ProtocolFault, _ requestID: String) {
        context.metrics.answered(status: fault.status)
        let duration = fault.startedAt.elapsed
        context.metrics.duration.record(microseconds: duration.wholeMicroseconds)
        let shown = fault.request.map { (method: $0.shownMethod, path: $0.shownPath) }
        let texts = requestID.utf8.count + (shown.map { $0.method.utf8.count + $0.path.utf8.count } ?? 0)
        context.log.write(.info, "request", atMost: 160 + 6 * texts) { line in
            line.add("request_id", requestID)
            if let shown {
                line.add("method", shown.method)
                line.add("path", shown.path)
            }
            line.add("status", Int64(fault.status))
            line.add("duration_ms", duration.wholeMilliseconds)
        }
    }

    private static func error(_ status: Int) -> GatewayError {
        switch status {
        case 405: GatewayError(.methodNotAllowed, "This is no proxy.")
        case 408: GatewayError(.requestTimeout, "The request's head took too long.")
        case 417: GatewayError(.invalidRequest, "Only 100-continue can be expected.", field: "expect", status: 417)
        case 431: GatewayError(.headersTooLarge, "The request's head is too large.")
        case 505: GatewayError(.invalidRequest, "Use HTTP/1.1 or HTTP/2.", status: 505)
        default: GatewayError(.invalidRequest, "The request is no valid HTTP, or can be read in two ways.")
        }
    }
}
