/// The checkpoints of one call that Redis could not take, in the worker's journal: should the worker be killed before
/// Redis is back, its next start puts them back.
///
/// They stay open there until Redis has a newer one, or the call is settled.
struct JournaledCheckpoints {
    private var count = 0

    mutating func keep(_ record: [UInt8], in context: WorkerContext) {
        if let journal = context.journal, journal.append(record, on: context.loop) { count += 1 }
    }

    mutating func drop(from context: WorkerContext) {
        guard count > 0 else { return }
        context.journal?.taken(count)
        count = 0
    }
}
