package import Domain

/// An answer that is read on although its caller is gone.
package protocol DrainedAnswer: AnyObject {
    /// Ends the reading now, with what is known by then.
    func stopReading()
}

/// Who may read answers to their end for callers that are gone: so many a key, and nobody once the worker ends.
package final class DrainDesk {
    private var answers: [KeyID: [ObjectIdentifier: any DrainedAnswer]] = [:]
    private var isClosed = false

    package init() {}

    /// Answers being read for the key.
    package func count(of key: KeyID) -> Int { answers[key]?.count ?? 0 }

    /// Whether the answer may be read on; with true it counts until `end`.
    package func begin(_ answer: any DrainedAnswer, of key: KeyID, limit: Int) -> Bool {
        guard !isClosed, count(of: key) < limit else { return false }
        answers[key, default: [:]][ObjectIdentifier(answer)] = answer
        return true
    }

    package func end(_ answer: any DrainedAnswer, of key: KeyID) {
        answers[key]?[ObjectIdentifier(answer)] = nil
        if answers[key]?.isEmpty == true { answers[key] = nil }
    }

    /// Ends all that is being read, and lets nobody begin any more.
    package func close() {
        isClosed = true
        for answer in answers.values.flatMap(\.values) { answer.stopReading() }
    }
}
