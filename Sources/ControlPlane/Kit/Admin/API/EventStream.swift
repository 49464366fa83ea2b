package import Formats
import HTTPMessages
import HTTPServing

/// What an answer in Server-Sent Events is written to while its work goes on.
package final class EventStream {
    private let write: ([UInt8]) -> Void
    package private(set) var isCallerGone = false
    /// Called once when the caller leaves.
    package var onCallerGone: (() -> Void)?

    init(_ write: @escaping ([UInt8]) -> Void) { self.write = write }

    /// Sends an event; its name stands in the data as `type` as well.
    package func send(_ name: StaticString, _ members: [(key: String, value: JSON)] = []) {
        guard !isCallerGone else { return }
        let data = JSON.object([(key: "type", value: .string("\(name)"))] + members)
        var bytes = Array("event: \(name)\ndata: ".utf8)
        bytes += data.encoded
        bytes += Array("\n\n".utf8)
        write(bytes)
    }

    func callerDidLeave() {
        isCallerGone = true
        onCallerGone?()
        onCallerGone = nil
    }
}

extension AdminAnswer {
    /// An answer whose body comes as events, one after the other.
    package static func events(_ produce: @escaping (EventStream) async -> Void) -> AdminAnswer {
        var answer = AdminAnswer(200, nil)
        answer.produce = produce
        return answer
    }
}

extension ServerExchange {
    /// Answers with events until their work is done; a caller that leaves before is told to it.
    func stream(_ head: HTTPResponseHead, _ produce: (EventStream) async -> Void) async {
        startResponse(head)
        let events = EventStream { [unowned self] in write($0) }
        onCallerGone = { events.callerDidLeave() }
        if isCallerGone { events.callerDidLeave() }
        await produce(events)
        finish()
    }
}
