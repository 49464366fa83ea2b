package import Reactor
import Synchronization
package import Telemetry

/// Usage records on the worker's own disk, while Redis cannot take them: what is here survives the worker.
///
/// One a process, for all its loops. A record is written before the caller sees the end of its answer, and flushed to
/// the disk off the loop, many at once. When every record has been taken by Redis or the control plane the file is
/// emptied; until then all of them are read again at the next start, and those that were taken are recognised by their
/// request ids.
package final class RecordJournal: Sendable {
    private static let flushTime = Duration.seconds(10)

    private struct State {
        var size: Int
        /// Records that nobody else has.
        var open: Int
        var isDirty = false
        var isSyncing = false
        var replay: [[UInt8]]
    }
    // Its writes are made with the state locked; `fdatasync` may run beside them.
    nonisolated(unsafe) private let file: JournalFile
    private let state: Mutex<State>
    private let log: Log

    /// Opens the journal of a folder, alone. What follows its last whole record, a write that a crash cut short, is kept
    /// aside and cut off.
    ///
    /// - Throws: `JournalError`.
    package init(folder: String, log: Log) throws(JournalError) {
        file = try JournalFile(folder: folder)
        self.log = log
        let bytes = try file.readAll()
        let (records, validBytes) = JournalFormat.read(bytes)
        if validBytes < bytes.count {
            log.error(
                "journal ends in what is no record",
                ["folder": .text(folder), "bytes": .integer(Int64(bytes.count - validBytes))]
            )
            file.setAside(bytes[validBytes...], stamp: WallClock.milliseconds)
            try file.truncate(to: validBytes)
        }
        if !records.isEmpty {
            log.warning("records of an earlier run are in the journal", ["count": .integer(Int64(records.count))])
        }
        state = Mutex(State(size: validBytes, open: records.count, replay: records))
    }

    /// The records of earlier runs, to be handed in; once. They count as open.
    package func takeReplay() -> [[UInt8]] {
        state.withLock { state in
            defer { state.replay = [] }
            return state.replay
        }
    }

    /// Records written here that nobody else has taken yet.
    package var openRecords: Int { state.withLock { $0.open } }
    /// Size of the file.
    package var bytes: Int { state.withLock { $0.size } }

    /// Writes a record; it then survives this process, and a loss of power a moment later. False when it could not be
    /// written.
    package func append(_ record: [UInt8], on loop: EventLoop) -> Bool {
        var bytes: [UInt8] = []
        JournalFormat.append(record, to: &bytes)
        let failure = state.withLock { state -> JournalError? in
            do throws(JournalError) {
                try file.write(bytes, at: state.size)
            } catch {
                return error
            }
            state.size += bytes.count
            state.open += 1
            state.isDirty = true
            return nil
        }
        if let failure {
            log.error("journal cannot be written", ["error": "\(failure)"])
            return false
        }
        syncSoon(loop)
        return true
    }

    /// So many records of the journal have been taken by Redis or the control plane.
    package func taken(_ count: Int = 1) {
        let failure = state.withLock { state -> JournalError? in
            state.open = max(0, state.open - count)
            guard state.open == 0, state.size > 0 else { return nil }
            do throws(JournalError) {
                try file.truncate(to: 0)
                state.size = 0
                return nil
            } catch {
                return error
            }
        }
        if let failure { log.error("journal cannot be emptied", ["error": "\(failure)"]) }
    }

    /// One flush at a time, for all that was written until it begins.
    private func syncSoon(_ loop: EventLoop) {
        let begins = state.withLock { state in
            guard !state.isSyncing else { return false }
            state.isSyncing = true
            return true
        }
        guard begins else { return }
        loop.spawn { [self] in
            while goesOnSyncing() {
                await loop.offload { [self] in sync() }
            }
        }
    }

    private func goesOnSyncing() -> Bool {
        state.withLock { state in
            state.isSyncing = state.isDirty
            state.isDirty = false
            return state.isSyncing
        }
    }

    private func sync() {
        do throws(JournalError) {
            try file.sync()
        } catch {
            log.error("journal cannot be flushed to the disk", ["error": "\(error)"])
        }
    }

    /// Waits until everything written is on the disk, as far as that does not take too long.
    package func flush(on loop: EventLoop) async {
        let start = MonotonicTime.now
        while state.withLock({ $0.isSyncing }), start.elapsed < Self.flushTime { await loop.sleep(.milliseconds(1)) }
    }
}
