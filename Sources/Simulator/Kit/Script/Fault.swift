/// What goes wrong with an answer.
package enum Fault: Hashable, Sendable {
    /// An error status in place of the answer. The platform knows its body; `variant` picks one of several, `amount`
    /// is its number (seconds until a reset, mostly).
    case status(Int, variant: String, amount: Int?)
    /// The request is read and never answered.
    case hang
    /// The connection (the stream, on HTTP/2) is reset instead of an answer.
    case reset
    /// The head comes late, by this many milliseconds.
    case slowHead(Int)
    /// Connection or stream is reset after so many content events; nil is half of them.
    case cut(after: Int?)
    /// The answer ends there in good order as far as HTTP can tell, but it is not whole.
    case cutClean(after: Int?)
    /// The answer stops there and nothing comes any more.
    case stall(after: Int?)
    /// An error event follows so many content events, and the stream ends.
    case errorEvent(after: Int?)
    /// Status 200 and a stream without content.
    case empty
    /// Status 200 and no byte of body.
    case emptyBody
    /// Status 200 and a body that is neither JSON nor events, nor UTF-8.
    case garbage
    /// One content event of so many MiB.
    case hugeEvent(Int)
    /// The body is gzip, which the caller did not ask for.
    case gzip
    /// `content-length` announces more than is sent.
    case longLength
    /// `content-length` announces less than is sent.
    case shortLength
    /// After so many content events comes one whose checksum is wrong, where events have one; nil is half of them.
    case badChecksum(after: Int?)

    /// The word that asks for it, without its number.
    package var name: String {
        switch self {
        case .status(let status, let variant, _): "\(status)\(variant)"
        case .hang: "hang"
        case .reset: "reset"
        case .slowHead: "slow"
        case .cut: "cut"
        case .cutClean: "cutclean"
        case .stall: "stall"
        case .errorEvent: "errevent"
        case .empty: "empty"
        case .emptyBody: "emptybody"
        case .garbage: "garbage"
        case .hugeEvent: "hugeevent"
        case .gzip: "gzip"
        case .longLength: "longlength"
        case .shortLength: "shortlength"
        case .badChecksum: "badcrc"
        }
    }

    /// The fault that a word without its number, and its number, ask for.
    init?(name: String, number: Int?) {
        switch name {
        case "hang": self = .hang
        case "reset": self = .reset
        case "slow": self = .slowHead(min(number ?? 10_000, ControlWords.longestDelay))
        case "cut": self = .cut(after: number)
        case "cutclean": self = .cutClean(after: number)
        case "stall": self = .stall(after: number)
        case "errevent": self = .errorEvent(after: number)
        case "empty": self = .empty
        case "emptybody": self = .emptyBody
        case "garbage": self = .garbage
        case "hugeevent": self = .hugeEvent(min(number ?? 1, 64))
        case "gzip": self = .gzip
        case "longlength": self = .longLength
        case "shortlength": self = .shortLength
        case "badcrc": self = .badChecksum(after: number)
        default: return nil
        }
    }
}
