package import Domain
package import HTTPFetching
package import Providers
import Reactor

/// Asks token endpoints.
package struct TokenEndpoint {
    /// How long an endpoint may take. The lease on the account is renewed meanwhile.
    package static let deadline = Duration.seconds(20)
    private static let answerLimit = 256 * 1024

    package enum Reply {
        case answer(TokenAnswer)
        case failure(UpstreamFailure)
    }

    private let client: UpstreamClient

    package init(_ client: UpstreamClient) { self.client = client }

    /// - Parameters:
    ///   - proxy: the account's.
    ///   - isolation: the account's id, where there is an account already.
    package func ask(
        _ request: TokenRequest,
        _ signIn: any SignIn,
        through proxy: ProxyServer?,
        isolation: Int64?,
        now: () -> Timestamp
    ) async -> Reply {
        do throws(UpstreamFailure) {
            let reply = try await client.ask(
                UpstreamQuestion(
                    "POST",
                    request.url,
                    headers: request.headers,
                    body: request.body,
                    through: proxy,
                    isolation: isolation,
                    within: Self.deadline,
                    answerLimit: Self.answerLimit
                )
            )
            return .answer(
                signIn.read(
                    status: reply.status,
                    headers: reply.headers,
                    body: reply.body,
                    to: request,
                    now: now()
                )
            )
        } catch {
            return .failure(error)
        }
    }
}
