package import Crypto
import Domain
import Formats
package import HTTPFetching
import HTTPMessages
package import Providers
import Reactor
package import Telemetry

/// Asks a provider for the project of a login that has none.
package struct ProjectFinder {
    /// Of the whole search: an admin waits for it.
    private static let patience = Duration.seconds(20)
    private static let deadline = Duration.seconds(10)
    private static let answerLimit = 256 * 1024

    private let upstream: UpstreamClient
    private let log: Log

    package init(_ upstream: UpstreamClient, log: Log) {
        self.upstream = upstream
        self.log = log
    }

    /// Nil where the platform has no projects, one is known already, or none was to be had: the log says why.
    package func find(
        _ account: ProviderAccount,
        token: Secret,
        through proxy: ProxyServer?,
        isolation: Int64?
    ) async -> String? {
        guard let provider = ProviderRegistry.provider(for: account), var search = provider.projectSearch(token) else {
            return nil
        }
        let base = (provider.target.isTLS ? "https://" : "http://") + provider.target.authority
        let end = MonotonicTime.now + Self.patience
        var step = search.begin()
        while case .ask(let head, let body, let pause) = step, MonotonicTime.now + pause < end {
            if pause > .zero { await upstream.loop.sleep(pause) }
            let question = UpstreamQuestion(
                head.method,
                base + head.target,
                headers: head.headers,
                body: body,
                through: proxy,
                isolation: isolation,
                within: Self.deadline,
                answerLimit: Self.answerLimit
            )
            do throws(UpstreamFailure) {
                let reply = try await upstream.ask(question)
                guard reply.status == 200, let json = try? JSON(reply.body) else {
                    step = .failed("The provider answered \(reply.status).")
                    break
                }
                step = search.next(json)
            } catch {
                step = .failed(error.description)
            }
        }
        switch step {
        case .found(let project): return project
        case .failed(let reason): log.warning("no project was found for a login", ["reason": .text(reason)])
        case .ask: log.warning("no project was found for a login", ["reason": "It took too long."])
        }
        return nil
    }
}
