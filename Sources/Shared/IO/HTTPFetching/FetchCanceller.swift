/// Lets a caller give up a request while `send` has not returned.
package final class FetchCanceller {
    private var exchange: BodyChannel?
    package private(set) var isCancelled = false

    package init() {}

    func attach(_ exchange: BodyChannel) { self.exchange = exchange }

    /// Ends the exchange now: `send`, or the reading of the answer, throws `.cancelled`.
    package func cancel() {
        isCancelled = true
        exchange?.cancelBySender()
        exchange = nil
    }
}
