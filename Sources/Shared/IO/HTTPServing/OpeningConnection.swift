import Reactor

/// A connection before its protocol is known: ALPN says it on TLS, else the first bytes do. HTTP/2 begins with a
/// preface that no HTTP/1 request can be (RFC 9113, 3.4).
final class OpeningConnection: ServerConnection {
    private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    private let link: ConnectionLink
    private var deadline = MonotonicTime.never
    /// The beginning of what may become the preface.
    private var held: [UInt8] = []
    private var openedAt = MonotonicTime.now

    init(_ link: ConnectionLink) { self.link = link }

    func start() {
        deadline = .now + link.server.limits.keepAliveTimeout
        link.timer.fire(by: deadline)
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        if let chosen = link.stream.negotiatedProtocol {
            return chosen == "h2" ? becomeHTTP2(bytes) : becomeHTTP1(bytes)
        }
        if held.isEmpty, bytes.first != Self.preface.utf8Start.pointee { return becomeHTTP1(bytes) }
        if held.isEmpty { openedAt = .now }
        held.append(contentsOf: bytes)
        let isPrefix = held.prefix(Self.preface.utf8CodeUnitCount).elementsEqual(
            UnsafeBufferPointer(start: Self.preface.utf8Start, count: min(held.count, Self.preface.utf8CodeUnitCount))
        )
        if !isPrefix {
            held.withUnsafeBytes { becomeHTTP1($0) }
        } else if held.count >= Self.preface.utf8CodeUnitCount {
            held.withUnsafeBytes { becomeHTTP2($0) }
        } else {
            deadline = openedAt + link.server.limits.headerTimeout
            link.timer.fire(by: deadline)
        }
    }

    private func becomeHTTP1(_ bytes: UnsafeRawBufferPointer) {
        let connection = HTTP1Connection(link)
        link.hand(to: connection)
        if link.server.isDraining { connection.drain() }
        connection.streamDidRead(bytes)
    }

    private func becomeHTTP2(_ bytes: UnsafeRawBufferPointer) {
        guard let connection = HTTP2Connection(link) else { return link.abort() }
        link.hand(to: connection)
        connection.streamDidRead(bytes)
        if link.server.isDraining { connection.drain() }
    }

    func streamDidDrain() {}

    func streamDidEnd(_ error: (any Error)?) { link.close() }

    func drain() {
        // A caller that has begun to speak is heard.
        if held.isEmpty { link.close() }
    }

    func cut() { link.abort() }

    func deadlinesPassed(now: MonotonicTime) -> MonotonicTime {
        guard now >= deadline else { return deadline }
        link.close()
        return .never
    }
}
