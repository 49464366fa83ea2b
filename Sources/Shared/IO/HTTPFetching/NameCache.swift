import Reactor

/// Addresses of host names, kept for a short while. One look-up of a name is under way at a time.
final class NameCache {
    private struct Name: Hashable {
        let host: String
        let port: UInt16
    }
    private enum Entry {
        case asking([Promise<[SocketAddress]>])
        case known([SocketAddress], until: MonotonicTime)
    }
    private let loop: EventLoop
    private var entries: [Name: Entry] = [:]

    private static let lifetime = Duration.seconds(30)
    private static let capacity = 1024

    init(_ loop: EventLoop) { self.loop = loop }

    /// - Throws: what `EventLoop.resolve` throws. Failures are not kept.
    func addresses(of host: String, port: UInt16) async throws -> [SocketAddress] {
        if let numeric = SocketAddress(ip: host, port: port) { return [numeric] }
        let name = Name(host: host, port: port)
        switch entries[name] {
        case .known(let addresses, let end) where .now < end:
            return addresses
        case .asking(let others):
            let promise = Promise<[SocketAddress]>()
            entries[name] = .asking(others + [promise])
            return try await promise.wait()
        case .known, nil:
            return try await ask(name)
        }
    }

    private func ask(_ name: Name) async throws -> [SocketAddress] {
        entries[name] = .asking([])
        let outcome: Result<[SocketAddress], any Error>
        do {
            outcome = .success(try await loop.resolve(name.host, port: name.port))
        } catch {
            outcome = .failure(error)
        }
        if case .asking(let others) = entries.removeValue(forKey: name) {
            for other in others { other.fulfil(outcome) }
        }
        if case .success(let addresses) = outcome {
            if entries.count >= Self.capacity { forgetKnown() }
            entries[name] = .known(addresses, until: .now + Self.lifetime)
        }
        return try outcome.get()
    }

    private func forgetKnown() {
        entries = entries.filter { _, entry in
            if case .asking = entry { return true }
            return false
        }
    }
}
