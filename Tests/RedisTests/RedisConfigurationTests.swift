import Redis
import Testing

@Suite("Redis configuration")
struct RedisConfigurationTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let url: String
        let host: String
        var port: UInt16 = 6379
        var isTLS = false
        var username: String?
        var password: String?
        var database = 0
        var testDescription: String { url }
    }

    @Test(
        "URLs say where Redis is",
        arguments: [
            Case(url: "redis://localhost", host: "localhost"),
            Case(url: "redis://localhost/", host: "localhost"),
            Case(url: "REDIS://10.0.0.1:7000/3", host: "10.0.0.1", port: 7000, database: 3),
            Case(url: "rediss://cache.example:6380", host: "cache.example", port: 6380, isTLS: true),
            Case(url: "redis://:secret@h", host: "h", password: "secret"),
            Case(
                url: "redis://worker:p%40ss%3A%2f%C3%BC@h:1/0",
                host: "h",
                port: 1,
                username: "worker",
                password: "p@ss:/ü"
            ),
            Case(url: "redis://u:a:b@h", host: "h", username: "u", password: "a:b"),
            Case(url: "redis://[::1]:6390/15", host: "::1", port: 6390, database: 15),
            Case(url: "redis://u:p@[fe80::1]", host: "fe80::1", username: "u", password: "p"),
        ]
    )
    func parses(_ expected: Case) throws {
        let parsed = try #require(RedisConfiguration(url: expected.url))
        #expect(parsed.host == expected.host)
        #expect(parsed.port == expected.port)
        #expect(parsed.isTLS == expected.isTLS)
        #expect(parsed.username == expected.username)
        #expect(parsed.password == expected.password)
        #expect(parsed.database == expected.database)
    }

    @Test(
        "what is not such a URL is refused",
        arguments: [
            "", "redis", "redis:", "redis://", "http://h", "redis://h:0", "redis://h:65536", "redis://h:",
            "redis://h:x",
            "redis://h:+1", "redis://h/x", "redis://h/1/2", "redis://h/-1", "redis://user@h", "redis://u:@h",
            "redis://u:p%4@h", "redis://u:p%zz@h", "redis://u:%ff@h", "redis://[::1", "redis://[::1]x", "redis://[h]:1",
            "redis://h?x=1", "redis://h#x", "redis://h h", "redis://:6379", "redis://a@b:c@h", "redis://h:1:2",
        ]
    )
    func refuses(_ url: String) {
        #expect(RedisConfiguration(url: url) == nil)
    }

    @Test("no way of printing shows the password")
    func hidesPassword() throws {
        struct Holder { let configuration: RedisConfiguration }
        let configuration = try #require(RedisConfiguration(url: "rediss://worker:hunter2@h:1/2"))
        var dumped = ""
        dump(Holder(configuration: configuration), to: &dumped)
        let prints = [
            "\(configuration)", String(reflecting: configuration), "\(Holder(configuration: configuration))", dumped,
        ]
        for text in prints {
            #expect(!text.contains("hunter2"))
            #expect(text.contains("rediss://h:1/2"))
        }
    }
}
