package import HTTPMessages

/// How a call ended, seen from the simulator.
package enum CallEnd: String, Sendable, CaseIterable {
    /// Still under way.
    case open
    /// Everything was written, and nothing was missing.
    case complete
    /// The caller left before everything was written.
    case callerGone = "client_gone"
    /// The simulator reset the connection or the stream.
    case cut
    /// The simulator ended it in order, with a part missing.
    case cutClean = "cut_clean"
    case errorEvent = "error_event"
    /// Status 200 without content.
    case empty
}

/// One call that the simulator received, and what became of it.
package final class RequestRecord {
    /// Counts calls from 1.
    package let id: Int
    package let head: HTTPRequestHead
    /// At most `RequestLog.mostBodyBytes`; nil once the log needed the room.
    package fileprivate(set) var body: [UInt8]?
    package let bodyCount: Int
    /// `Digest` of the whole body, as the answer's text names it.
    package let bodyDigest: String
    package let credential: Credential?
    package let version: HTTPVersion
    package let isTLS: Bool
    /// Microseconds since 1970.
    package let receivedAt: Int64

    package let model: String?
    package let isStream: Bool
    package let fault: String?
    /// Nil when no head was sent.
    package let status: Int?
    package fileprivate(set) var end = CallEnd.open
    /// Bytes of the answer's body.
    package fileprivate(set) var bytesSent = 0
    package fileprivate(set) var usage = ReportedUsage()
    /// Microseconds from the request to its end.
    package fileprivate(set) var duration: Int64 = 0
    /// Whether the whole answer reports usage.
    fileprivate let isMetered: Bool

    package init(
        id: Int,
        head: HTTPRequestHead,
        body: [UInt8],
        credential: Credential?,
        version: HTTPVersion,
        isTLS: Bool,
        receivedAt: Int64,
        plan: AnswerPlan
    ) {
        self.id = id
        self.head = head
        self.body = body.count <= RequestLog.mostBodyBytes ? body : Array(body.prefix(RequestLog.mostBodyBytes))
        bodyCount = body.count
        bodyDigest = Digest(body).hex
        self.credential = credential
        self.version = version
        self.isTLS = isTLS
        self.receivedAt = receivedAt
        model = plan.model
        isStream = plan.isStream
        fault = plan.fault
        status = plan.head?.status
        isMetered = !plan.usage.isEmpty
    }
}

/// The last calls, and sums over all calls since the last clearing.
package final class RequestLog {
    package static let mostRecords = 10_000
    /// Of one record.
    package static let mostBodyBytes = 1 << 20

    /// Sums over some calls.
    package struct Totals {
        package var calls = 0
        /// Answers that ended complete and reported usage.
        package var completed = 0
        /// What complete answers reported.
        package var completedUsage = ReportedUsage()
        /// What all answers reported, as far as they came.
        package var usage = ReportedUsage()
    }

    /// By id, oldest first.
    private var records: [RequestRecord] = []
    /// Records before this one have left the log.
    private var firstIndex = 0
    /// Records before this one have no body any more.
    private var firstBodyIndex = 0
    private var bodyBytes = 0
    private let mostBytes: Int

    package private(set) var totals = Totals()
    package private(set) var byStatus: [Int: Int] = [:]
    package private(set) var byEnd: [CallEnd: Int] = [:]
    package private(set) var byCredential: [String: Totals] = [:]
    package private(set) var openCalls = 0
    /// Calls from before the last clearing are not counted when they end.
    private var clearedThrough = 0
    private var lastID = 0

    /// - Parameter mostBytes: of all bodies that are kept; the oldest go first.
    package init(mostBytes: Int = 256 << 20) { self.mostBytes = mostBytes }

    package func open(_ record: RequestRecord) {
        lastID = record.id
        openCalls += 1
        records.append(record)
        bodyBytes += record.body?.count ?? 0
        while records.count - firstIndex > Self.mostRecords {
            forgetBody(at: firstIndex)
            firstIndex += 1
        }
        firstBodyIndex = max(firstBodyIndex, firstIndex)
        while bodyBytes > mostBytes, firstBodyIndex < records.count {
            forgetBody(at: firstBodyIndex)
            firstBodyIndex += 1
        }
        if firstIndex >= Self.mostRecords {
            records.removeFirst(firstIndex)
            firstBodyIndex -= firstIndex
            firstIndex = 0
        }
        totals.calls += 1
        update(record.credential) { $0.calls += 1 }
    }

    /// Closes a record. `now` is in microseconds since 1970.
    package func close(_ record: RequestRecord, _ end: CallEnd, bytesSent: Int, usage: ReportedUsage, now: Int64) {
        guard record.end == .open else { return }
        openCalls -= 1
        record.end = end
        record.bytesSent = bytesSent
        record.usage = usage
        record.duration = now &- record.receivedAt
        guard record.id > clearedThrough else { return }
        byStatus[record.status ?? 0, default: 0] += 1
        byEnd[end, default: 0] += 1
        let isCompleted = end == .complete && record.isMetered
        func add(to totals: inout Totals) {
            totals.usage = totals.usage + usage
            guard isCompleted else { return }
            totals.completed += 1
            totals.completedUsage = totals.completedUsage + usage
        }
        add(to: &totals)
        update(record.credential, add)
    }

    private func update(_ credential: Credential?, _ change: (inout Totals) -> Void) {
        var name = credential?.secret ?? ""
        if byCredential.count >= Self.mostRecords, byCredential[name] == nil { name = "(others)" }
        change(&byCredential[name, default: Totals()])
    }

    private func forgetBody(at index: Int) {
        bodyBytes -= records[index].body?.count ?? 0
        records[index].body = nil
    }

    /// Up to `limit` records with larger ids, oldest first; only those with this credential if one is named.
    package func records(after id: Int, limit: Int, credential: String? = nil) -> ArraySlice<RequestRecord> {
        let kept = records[firstIndex...]
        let start = kept.first.map { max(0, id &- $0.id &+ 1) } ?? 0
        let later = kept.dropFirst(min(start, kept.count))
        guard let credential else { return later.prefix(limit) }
        return later.filter { $0.credential?.secret == credential }.prefix(limit)
    }

    /// Forgets all records and sums; calls under way are not counted when they end.
    package func clear() {
        clearedThrough = lastID
        records = []
        firstIndex = 0
        firstBodyIndex = 0
        bodyBytes = 0
        totals = Totals()
        byStatus = [:]
        byEnd = [:]
        byCredential = [:]
    }
}
