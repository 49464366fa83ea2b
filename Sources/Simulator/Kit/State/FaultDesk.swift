/// A fault that was armed through the control API.
package struct ArmedFault: Equatable, Sendable {
    package let id: Int
    package let text: String
    package let words: ControlWords
    /// Only for calls with this credential.
    package let credential: String?
    /// Only for this model name; with `*` at its end, for names that begin so.
    package let model: String?
    package fileprivate(set) var remaining: Int

    func matches(credential: String?, model: String?) -> Bool {
        if let wanted = self.credential, wanted != credential { return false }
        guard let wanted = self.model else { return true }
        guard let model else { return false }
        return wanted.hasSuffix("*") ? model.hasPrefix(wanted.dropLast()) : model == wanted
    }
}

/// Decides which words hold for a call: those of an armed fault before those of the key before those of the model.
///
/// It counts calls, so that a fault can strike the first ones or every nth.
package struct FaultDesk {
    /// Counters that are kept for certain; up to twice as many may be.
    private static let mostCounters = 10_000
    private static let mostArmed = 1_000

    package private(set) var armed: [ArmedFault] = []
    private var lastID = 0
    /// The counters used since the last time there were too many, and those used before only.
    private var counters: [String: Int] = [:]
    private var olderCounters: [String: Int] = [:]
    var counterCount: Int { counters.count + olderCounters.count }

    package init() {}

    /// Arms a fault for the next `count` calls that match; nil when too many are armed.
    package mutating func arm(_ text: String, count: Int, credential: String?, model: String?) -> ArmedFault? {
        armed.removeAll { $0.remaining <= 0 }
        guard armed.count < Self.mostArmed else { return nil }
        lastID += 1
        let words = ControlWords(words: text)
        let fault = ArmedFault(
            id: lastID,
            text: text,
            words: words,
            credential: credential,
            model: model,
            remaining: count
        )
        armed.append(fault)
        return fault
    }

    package mutating func disarm(id: Int) -> Bool {
        guard let index = armed.firstIndex(where: { $0.id == id }) else { return false }
        armed.remove(at: index)
        return true
    }

    /// Forgets all armed faults and counters.
    package mutating func clear() {
        armed = []
        counters = [:]
        olderCounters = [:]
    }

    /// The words for a call, which is counted.
    ///
    /// - Parameter isNamedOnly: whether only faults strike that were armed for this very credential.
    package mutating func words(credential: String?, model: String?, isNamedOnly: Bool = false) -> ControlWords {
        var words = ControlWords()
        if let model {
            words = gated(ControlWords(in: model), name: "m\u{0}\(model)", credential: credential)
        }
        if let credential {
            words = words.overlaid(
                by: gated(ControlWords(in: credential), name: "k\u{0}\(credential)", credential: nil)
            )
        }
        let index = armed.firstIndex {
            $0.remaining > 0 && $0.matches(credential: credential, model: model)
                && !(isNamedOnly && $0.credential == nil)
        }
        if let index {
            armed[index].remaining -= 1
            words = words.overlaid(by: armed[index].words)
            if armed[index].remaining == 0 { armed.remove(at: index) }
        }
        return words
    }

    private mutating func gated(_ words: ControlWords, name: String, credential: String?) -> ControlWords {
        guard words.fault != nil, !words.gate.isOpen else { return words }
        let ofAll = count(name)
        let ofOne = words.gate.first == nil ? 0 : count("\(name)\u{0}\(credential ?? "")")
        var strikes = true
        if let every = words.gate.every, !ofAll.isMultiple(of: every) { strikes = false }
        if let first = words.gate.firstOfAll, ofAll > first { strikes = false }
        if let first = words.gate.first, ofOne > first { strikes = false }
        var words = words
        if !strikes { words.fault = nil }
        return words
    }

    private mutating func count(_ name: String) -> Int {
        if counters.count >= Self.mostCounters, counters[name] == nil {
            olderCounters = counters
            counters = [:]
        }
        let count = (counters[name] ?? olderCounters[name] ?? 0) &+ 1
        counters[name] = count
        return count
    }
}
