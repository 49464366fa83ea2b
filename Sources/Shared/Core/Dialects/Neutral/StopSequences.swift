import Formats

/// Stop sequences for upstreams that have none, or too few: the answer's text ends before the first that appears.
///
/// The upstream goes on writing what nobody gets; its usage counts all the same.
package enum StopSequences {
    /// More bytes than this in all are no stop sequences, and looking for them would cost too much.
    package static let maximumBytes = 4096

    /// The answer, cut.
    package static func cut(_ answer: NeutralAnswer, at sequences: [String]) -> NeutralAnswer {
        var cut = answer
        for (place, block) in answer.blocks.enumerated() {
            guard case .text(let text, let citations) = block else { continue }
            let bytes = Array(text.utf8)
            guard let (start, sequence) = StopSearch(sequences).first(in: bytes) else { continue }
            cut.blocks.removeSubrange(place...)
            if start > 0 {
                cut.blocks.append(.text(String(decoding: bytes[..<start], as: UTF8.self), citations: citations))
            }
            cut.stop = .stopSequence(sequence)
            break
        }
        return cut
    }
}

/// Writes a stream through another encoder, up to the first stop sequence.
internal final class StopSequenceEncoder: StreamEncoder {
    private let inner: any StreamEncoder
    private let search: StopSearch
    private var isText = false
    /// The end of the text that may be the beginning of a sequence.
    private var held: [UInt8] = []
    private var reached: String?

    init(_ inner: any StreamEncoder, _ sequences: [String]) {
        self.inner = inner
        search = StopSearch(sequences)
    }

    func encode(_ event: NeutralEvent, into out: inout [UInt8]) {
        guard reached == nil else { return encodeAfterStop(event, into: &out) }
        switch event {
        case .blockStart(let block):
            isText = block == .text
            inner.encode(event, into: &out)
        case .text(let piece) where isText:
            held.append(contentsOf: piece.bytes)
            if let (start, sequence) = search.first(in: held) {
                release(start, into: &out)
                held = []
                inner.encode(.blockEnd, into: &out)
                reached = sequence
            } else {
                release(held.count - search.possibleStart(in: held), into: &out)
            }
        case .blockEnd:
            if isText { release(held.count, into: &out) }
            isText = false
            inner.encode(event, into: &out)
        default: inner.encode(event, into: &out)
        }
    }

    private func encodeAfterStop(_ event: NeutralEvent, into out: inout [UInt8]) {
        switch event {
        case .usage, .end, .error: inner.encode(event, into: &out)
        case .stop: inner.encode(.stop(.stopSequence(reached)), into: &out)
        case .start, .blockStart, .text, .thinking, .signature, .arguments, .citation, .blockEnd: break
        }
    }

    private func release(_ count: Int, into out: inout [UInt8]) {
        guard count > 0 else { return }
        held.withUnsafeBytes {
            inner.encode(.text(LentText(UnsafeRawBufferPointer(rebasing: $0[..<count]))), into: &out)
        }
        held.removeSubrange(..<count)
    }
}

/// Looks for the first of several sequences.
internal struct StopSearch {
    private let sequences: [(text: String, bytes: [UInt8])]

    init(_ sequences: [String]) { self.sequences = sequences.filter { !$0.isEmpty }.map { ($0, Array($0.utf8)) } }

    /// Where the first one begins; of several at one place the first that was named.
    func first(in text: [UInt8]) -> (start: Int, sequence: String)? {
        var found: (start: Int, sequence: String)?
        for (sequence, bytes) in sequences {
            let end = (found?.start ?? text.count) + bytes.count
            guard let start = text[..<min(end, text.count)].firstRange(of: bytes)?.lowerBound else { continue }
            if start < found?.start ?? .max { found = (start, sequence) }
        }
        return found
    }

    /// How many bytes at the end may be the beginning of a sequence.
    func possibleStart(in text: [UInt8]) -> Int {
        var longest = 0
        for (_, bytes) in sequences {
            var length = min(bytes.count - 1, text.count)
            while length > longest {
                if text.suffix(length).elementsEqual(bytes.prefix(length)) { longest = length }
                length -= 1
            }
        }
        return longest
    }
}
