import CHTTPParser

/// The second opinion on where messages begin and end: http-parser reads what passed the strict scan, of heads the lines
/// that bear on it, and has to agree about heads and ends. Whatever the two would read differently is refused.
struct FramingCheck: ~Copyable {
    /// What http-parser's callbacks find behind `http_parser.data`.
    private struct State {
        var parser = http_parser()
        var skipsBody = false
        var headsRead: UInt32 = 0
        var messagesRead: UInt32 = 0
    }
    private let state: UnsafeMutablePointer<State>

    init(_ kind: HTTP1Parser.Kind) {
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        http_parser_init(&state.pointee.parser, kind == .requests ? HTTP_REQUEST : HTTP_RESPONSE)
        state.pointee.parser.data = UnsafeMutableRawPointer(state)
    }

    deinit { state.deallocate() }

    /// Written once, before anybody reads it.
    nonisolated(unsafe) private static let settings: UnsafePointer<http_parser_settings> = {
        // The scan before it bounds heads; the library's own limit is one for the whole process.
        http_parser_set_max_header_size(UInt32(Int32.max))
        let settings = UnsafeMutablePointer<http_parser_settings>.allocate(capacity: 1)
        http_parser_settings_init(settings)
        settings.pointee.on_headers_complete = { parser in
            guard let state = FramingCheck.state(of: parser) else { return -1 }
            // Upgrades are ignored: without this the parser would stop there with bytes unread.
            state.pointee.parser.upgrade = 0
            state.pointee.headsRead &+= 1
            return state.pointee.skipsBody ? 1 : 0
        }
        settings.pointee.on_message_complete = { parser in
            guard let state = FramingCheck.state(of: parser) else { return -1 }
            state.pointee.messagesRead &+= 1
            return 0
        }
        return UnsafePointer(settings)
    }()

    private static func state(of parser: UnsafeMutablePointer<http_parser>?) -> UnsafeMutablePointer<State>? {
        parser?.pointee.data?.assumingMemoryBound(to: State.self)
    }

    /// Set before the last line of a head is read: no body follows, whatever the fields say.
    var skipsBody: Bool {
        get { state.pointee.skipsBody }
        nonmutating set { state.pointee.skipsBody = newValue }
    }

    var headsRead: UInt32 { state.pointee.headsRead }
    var messagesRead: UInt32 { state.pointee.messagesRead }

    /// Valid once a head has been read, until the next message begins.
    var keepsAlive: Bool { http_should_keep_alive(&state.pointee.parser) != 0 }

    func read(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) {
        // To http-parser, no bytes mean the end.
        if !bytes.isEmpty { try execute(bytes) }
    }

    /// The peer has closed its side.
    func finish() throws(HTTP1Error) {
        try execute(UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private func execute(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) {
        let taken = http_parser_execute(
            &state.pointee.parser,
            Self.settings,
            bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
            bytes.count
        )
        let code = state.pointee.parser.http_errno
        guard code == 0, taken == bytes.count else {
            let name = http_errno_name(http_errno(rawValue: UInt32(code)))
            throw .malformed(name.map { String(cString: $0) } ?? "framing")
        }
    }
}
