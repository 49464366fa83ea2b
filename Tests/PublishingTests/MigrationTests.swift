import ControlKit
import Postgres
import Reactor
import Testing

@Suite("Migrations of large databases", .enabled(if: canRun, requirement))
struct MigrationTests {
    @Test("a step takes longer than any other statement may, and so does who waits for it")
    func longSteps() async throws {
        try await withWorld { world in
            var options = PostgresPool.Options()
            options.statementTimeout = .milliseconds(200)
            let pool = PostgresPool(world.loop, url: world.databaseURL, options: options)
            defer { pool.close() }
            await #expect(throws: (any Error).self) { try await pool.query("select pg_sleep(1)") }
            let next = try #require(Migrations.all.last).version + 1
            let long = Migration(version: next, name: "long", script: "select pg_sleep(1); create table long (id int);")
            let other = Promise<Void>()
            world.loop.spawn {
                do { other.succeed(try await Migrations.run(Migrations.all + [long], in: pool)) } catch {
                    other.fail(error)
                }
            }
            try await Migrations.run(Migrations.all + [long], in: pool)
            try await other.wait()
            #expect(try await world.number("select count(*) as n from pg_class where relname = 'long'") == 1)
            // Others have the usual time again.
            await #expect(throws: (any Error).self) { try await pool.query("select pg_sleep(1)") }
        }
    }
}
