import Domain
import Formats
import Postgres
import Telemetry
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Account quotas")
    struct AccountQuotas {
        private static let fields = ["quota_daily_used", "quota_weekly_used", "quota_total_used"]

        private static func used(_ answer: AdminServer.Answer) -> [String] {
            fields.map { answer[$0]?.string ?? "" }
        }

        private static func use(_ admin: AdminServer, _ id: Int64, cost: Int64, at time: Int64) async throws {
            try await admin.plane.pool.withTransaction { connection in
                _ = try await AccountQuotaStore.book(
                    [AccountID(id): [.init(time: Timestamp(microseconds: time), cost: NanoUSD(cost))]],
                    connection
                )
            }
        }

        @Test("what is used shows, survives edits, is over with its period, and ends with a reset")
        func used() async throws {
            try await withAdmin { admin in
                let account = try await admin.makeAccount(["quota_daily": "5", "quota_total": "9"])
                let path = "/admin/accounts/\(account.id)"
                #expect(Self.used(account) == ["0", "0", "0"])
                let now = WallClock.microseconds
                try await Self.use(admin, account.id, cost: 1_500_000_000, at: now - 26 * 3_600_000_000)
                try await Self.use(admin, account.id, cost: 250_000_000, at: now - 25 * 3_600_000_000)
                // The day is over, the week is not.
                #expect(Self.used(try await admin.call("GET", path)) == ["0", "1.75", "1.75"])
                try await Self.use(admin, account.id, cost: 1, at: now)
                let shown = ["0.000000001", "1.750000001", "1.750000001"]
                #expect(Self.used(try await admin.call("GET", path)) == shown)
                #expect(
                    try await admin.call("GET", "/admin/accounts").items.first?["quota_daily_used"] == .string(shown[0])
                )

                let edited = try await admin.call(
                    "PATCH",
                    path,
                    ["name": "other", "quota_daily": "7", "quota_weekly": "3", "quota_total": .null]
                )
                #expect(edited.status == 200 && Self.used(edited) == shown)
                let written = try await admin.call("PATCH", path, ["quota_daily_used": "0", "quota_total_used": "4"])
                #expect(written.faults == ["quota_daily_used", "quota_total_used"])

                let reset = try await admin.call("POST", path + "/reset-quota")
                #expect(reset.status == 200 && Self.used(reset) == ["0", "0", "0"])
                #expect(
                    try await admin.count(
                        """
                        select count(*) as count from account_quotas where daily_start_ms is null
                            and weekly_start_ms is null and total_start_ms is null
                        """
                    ) == 1
                )
                #expect(
                    try await admin.count("select count(*) as count from audit_log where action = 'reset-quota'") == 1
                )
                #expect(try await admin.call("POST", "/admin/accounts/999/reset-quota").status == 404)
            }
        }

        @Test("an account of which nothing was used can be reset as well")
        func unused() async throws {
            try await withAdmin { admin in
                let account = try await admin.makeAccount([:])
                #expect(try await admin.call("POST", "/admin/accounts/\(account.id)/reset-quota").status == 200)
            }
        }

        @Test(
            "what is no amount is refused by the field's name, and nothing is saved",
            arguments: ["-1", "NaN", "1e3", "0.0000000001", "9000000.000000001", "99999999999999999999", "", "1,5"]
        )
        func refused(text: String) async throws {
            try await withAdmin { admin in
                let account = try await admin.makeAccount(["quota_weekly": "2"])
                for field in ["quota_daily", "quota_weekly", "quota_total"] {
                    let answer = try await admin.call(
                        "PATCH",
                        "/admin/accounts/\(account.id)",
                        .object([(key: "name", value: "changed"), (key: field, value: .string(text))])
                    )
                    #expect(answer.status == 400 || answer.status == 422)
                    #expect(answer.faults == [field])
                }
                let after = try await admin.call("GET", "/admin/accounts/\(account.id)")
                #expect(after["quota_weekly"] == "2" && after["name"] == account["name"])
            }
        }
    }
}
