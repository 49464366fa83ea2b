import Reactor
import Redis
import TestSupport
import Testing

/// Lends a connected client, patient enough for a busy test machine.
func withRedis<Value>(
    _ loop: EventLoop,
    _ url: String,
    adjust: (inout RedisConfiguration) -> Void = { _ in },
    _ body: (RedisClient) async throws -> Value
) async throws -> Value {
    var configuration = try #require(RedisConfiguration(patientURL: url))
    adjust(&configuration)
    let client = RedisClient(loop, configuration)
    client.start()
    defer { client.close() }
    try #require(await client.waitUntilConnected(.seconds(60)))
    return try await body(client)
}
