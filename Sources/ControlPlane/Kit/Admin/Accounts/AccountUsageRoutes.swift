import Domain
import Formats
import Postgres

/// `/admin/accounts/{id}/usage`: how much of an account is used, from its upstream where that can be asked.
package struct AccountUsageRoutes {
    private let context: AdminContext

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        [
            Route(
                "GET",
                "/api/v1/admin/accounts/{id}/usage",
                .admin,
                "How much of an account is used",
                answer: Self.schema,
                handler: usage
            )
        ]
    }

    private static let window: JSON = [
        "type": "object", "properties": ["utilization": ["type": "number"], "resets_at": Schema.time.nullable],
    ]
    private static let schema: JSON = [
        "type": "object",
        "description":
            "Windows of single families of models follow as seven_day_FAMILY. What is not known is left out.",
        "properties": [
            "updated_at": Schema.time.nullable, "five_hour": window.nullable, "seven_day": window.nullable,
            "models": ["type": "object", "additionalProperties": window],
            "subscription_tier": Schema.choice(SubscriptionTier.allCases.map(\.rawValue)),
            "subscription_tier_raw": Schema.text,
            "ai_credits": Schema.array(
                of: [
                    "type": "object",
                    "properties": [
                        "credit_type": Schema.text, "amount": Schema.integer, "minimum_balance": Schema.integer,
                    ],
                ]
            ),
            "is_forbidden": Schema.flag, "forbidden_type": Schema.choice(ForbiddenType.allCases.map(\.rawValue)),
            "validation_url": Schema.text, "needs_verify": Schema.flag, "is_banned": Schema.flag,
            "needs_reauth": Schema.flag, "error_code": Schema.choice(UsageFailure.Code.allCases.map(\.rawValue)),
            "error": Schema.text,
        ],
        "required": ["updated_at", "five_hour", "seven_day"],
    ]

    private func usage(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        guard let account = try await context.pool.withConnection({ try await AccountStore.find(id, on: $0) }) else {
            throw Problem.notFound("account")
        }
        let outcome = await context.usage.outcome(of: try await context.fresh(account, now: request.now))
        // Read after the probe, which has kept what it was told.
        let stored = try await context.pool.withConnection { try await AccountUsageStore.find(id, on: $0) }
        return .ok(UsageInfo(account, stored, outcome, now: request.now).json)
    }
}
