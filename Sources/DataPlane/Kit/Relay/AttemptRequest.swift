import Dialects
import Domain
import Providers
import Reactor

/// The request of one attempt, in its last steps: what stands in the body for this account, then the provider's words.
struct AttemptRequest: Sendable {
    let provider: any Provider
    /// With the body as it came, or translated.
    let call: UpstreamCall
    /// To be made in the body first.
    let changes: [CallSummary.Insertion]

    /// Whether writing it on the loop would make every stream there stutter: a large body is changed on its way.
    var isLong: Bool { call.body.count > WorkerContext.inlineLimit && (!changes.isEmpty || provider.rewrites(call)) }

    /// Nil when the account lacks a credential.
    ///
    /// - Throws: `GatewayError` when the account may not be asked this.
    func write() throws -> UpstreamRequest? {
        guard !changes.isEmpty else { return try provider.request(for: call) }
        var call = call
        call.body = Splice.applying(changes, to: call.body)
        return try provider.request(for: call)
    }

    /// The same, on a thread of its own.
    func write(off loop: EventLoop) async throws -> UpstreamRequest? {
        try await loop.offload { Result { try write() } }.get()
    }
}
