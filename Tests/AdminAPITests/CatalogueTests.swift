import Crypto
import Domain
import Formats
import Postgres
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Prices, proxies and settings")
    struct Others {
        @Test("prices are seeded once, and every change has a version of its own")
        func prices() async throws {
            try await withAdmin { admin in
                let seeded = try await admin.call("GET", "/admin/prices?page_size=1")["total"]?.int ?? 0
                #expect(seeded > 150)
                let family = try await admin.call("GET", "/admin/prices?match=prefix").items
                let families = family.compactMap { $0["model"]?.string }
                #expect(Set(families).isSuperset(of: ["claude-", "claude-opus-", "gemini-", "gpt-"]))
                let created = try await admin.call(
                    "POST",
                    "/admin/prices",
                    ["model": "mein-modell", "input": "1.5", "output": "0.000000001", "web_search": "0.01"]
                )
                #expect(created.status == 201 && created["input"] == "1.5" && created["cache_read"] == .null)
                let media = try await admin.call(
                    "POST",
                    "/admin/prices",
                    ["model": "klang", "input": "1", "audio_input": "32", "image_output": "0", "request": "0.03"]
                )
                #expect(media.status == 201 && media["audio_input"] == "32" && media["image_output"] == "0")
                #expect(media["request"] == "0.03" && media["image_input"] == .null)
                let twin = try await admin.call("POST", "/admin/prices", ["model": "mein-modell", "input": "2"])
                #expect(twin.status == 409 && twin.faults == ["model"])
                let path = "/admin/prices/\(created.id)"
                let patched = try await admin.call("PATCH", path, ["web_search": .null, "cache_read": "0.15"])
                #expect(patched["web_search"] == .null && patched["input"] == "1.5" && patched["cache_read"] == "0.15")
                #expect((patched["version"]?.int ?? 0) > (created["version"]?.int ?? 0))
                #expect(try await admin.call("PATCH", path, ["input": .null, "output": .null]).faults == ["input"])
                #expect(try await admin.call("DELETE", path).status == 204)
                // Deleting all does not bring the seed back at the next start.
                try await admin.plane.pool.execute("update prices set deleted_at = now()")
                try await PriceSeed.plant(with: admin.plane.changes)
                #expect(try await admin.call("GET", "/admin/prices")["total"] == 0)
            }
        }

        @Test("a proxy's password is sealed, masked, kept when the mask comes back, and removed by null")
        func proxies() async throws {
            try await withAdmin { admin in
                let created = try await admin.call(
                    "POST",
                    "/admin/proxies",
                    [
                        "name": "Ausgang", "protocol": "https", "host": "proxy.example", "port": 3128, "username": "u",
                        "password": "geheim-1",
                    ]
                )
                #expect(created.status == 201 && created["password"] == "•••")
                let path = "/admin/proxies/\(created.id)"
                let sealed = { () async throws -> String? in
                    try await admin.plane.pool.query("select password_sealed from proxies").first?.optionalText(
                        "password_sealed"
                    )
                }
                let first = try await sealed()
                #expect(try await admin.call("PATCH", path, ["password": "•••", "port": 3129])["port"] == 3129)
                #expect(try await sealed() == first)
                #expect(try await admin.call("PATCH", path, ["password": "geheim-2"]).status == 200)
                #expect(try await sealed() != first)
                let opened = try SealedBox.open(
                    try #require(try await sealed()),
                    for: SealingContext(kind: "proxy", id: created.id, field: "password"),
                    with: try #require(admin.plane.config.masterKeys)
                )
                #expect(String(decoding: opened, as: UTF8.self) == "geheim-2")
                let account = try await admin.makeAccount(["proxy_id": .int(created.id)])
                #expect(try await admin.call("DELETE", path).status == 409)
                #expect(
                    try await admin.call("PATCH", "/admin/accounts/\(account.id)", ["proxy_id": .null]).status == 200
                )
                #expect(try await admin.call("PATCH", path, ["password": .null])["password"] == .null)
                #expect(try await admin.call("PATCH", path, ["password": "•••"]).faults == ["password"])
                #expect(try await admin.call("DELETE", path).status == 204)
                #expect(
                    try await admin.count("select count(*) as count from audit_log t where t::text like '%geheim%'")
                        == 0
                )
            }
        }

        @Test("settings have defaults, bounds and replace themselves whole")
        func settings() async throws {
            try await withAdmin { admin in
                let path = "/admin/settings/overload-cooldown"
                #expect(try await admin.call("GET", path).body == ["enabled": true, "cooldown_minutes": 10])
                #expect(try await admin.call("PUT", path, ["enabled": false, "cooldown_minutes": 30]).status == 200)
                #expect(try await admin.call("GET", path).body == ["enabled": false, "cooldown_minutes": 30])
                #expect(try await admin.call("PUT", path, ["cooldown_minutes": 121]).faults == ["cooldown_minutes"])
                #expect(try await admin.call("PUT", path, ["minutes": 5]).faults == ["minutes"])
                #expect(try await admin.call("PUT", path, [:]).body == ["enabled": true, "cooldown_minutes": 10])
                let gateway = try await admin.call("GET", "/admin/settings/gateway")
                #expect(gateway["body_limit_bytes"] == 33_554_432 && gateway["max_switches"] == 10)
                #expect(
                    try await admin.call("PUT", "/admin/settings/gateway", ["max_switches": 3])["max_switches"] == 3
                )
                #expect(try await admin.call("GET", "/admin/settings/nothing").status == 404)
                #expect(try await admin.call("PATCH", path, [:]).status == 405)
            }
        }
    }
}
