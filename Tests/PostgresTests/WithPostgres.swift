import Postgres
import Reactor
import TestSupport
import Testing

/// Lends a pool on a database of its own.
func withPostgres<Value: Sendable>(
    maximum: Int = 8,
    options: PostgresPool.Options = .patient,
    schema: String = "",
    _ body: @escaping @Sendable (PostgresPool, EventLoop) async throws -> Value
) async throws -> Value {
    let url = try await PrivatePostgres.shared().newDatabase()
    return try await onLoop { loop in
        let pool = PostgresPool(loop, url: url, maximum: maximum, options: options)
        defer { pool.close() }
        if !schema.isEmpty { try await pool.withConnection { try await $0.runScript(schema) } }
        return try await body(pool, loop)
    }
}

/// Several tasks of one loop, and the wait for all of them.
final class Crew {
    private var running = 0
    private let loop: EventLoop
    private var done = Promise<Void>()

    init(_ loop: EventLoop) { self.loop = loop }

    func add(_ work: @escaping () async throws -> Void) {
        running += 1
        loop.spawn { [self] in
            do { try await work() } catch { Issue.record(error) }
            running -= 1
            if running == 0 { done.succeed(()) }
        }
    }

    func wait() async throws {
        guard running > 0 else { return }
        try await done.wait()
        done = Promise()
    }
}

func expectRows(
    _ count: Int,
    _ pool: PostgresPool,
    _ sql: String,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let rows = try await pool.query(sql)
    #expect(rows.count == count, sourceLocation: sourceLocation)
}
