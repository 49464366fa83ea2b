import Decisions
import Domain
import Formats
import Postgres
import Providers

/// `/admin/accounts/{id}/test`: a real small call, whose progress is streamed.
package struct AccountTestRoutes {
    private struct Wish {
        var model: String?
    }

    private let context: AdminContext
    private let form = Form<Wish>([
        .optional("model", \.model, ValueKind<String>.modelName.orNil, default: nil)
    ])

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        [
            Route(
                "POST",
                "/api/v1/admin/accounts/{id}/test",
                .admin,
                "Make a test call, which recovers the account where it succeeds",
                body: form.schema(for: .create),
                isBodyOptional: true,
                answer: Self.event,
                isEventStream: true,
                handler: test
            )
        ]
    }

    private static let event: JSON = [
        "type": "object",
        "description": "Steps and texts as they come, then one end or error.",
        "properties": [
            "type": Schema.choice(["step", "text", "end", "error"]),
            "step": Schema.choice(["credentials", "request", "answer"]), "model": Schema.text, "host": Schema.text,
            "proxy": Schema.flag, "status": Schema.integer.nullable, "milliseconds": Schema.integer,
            "text": Schema.text,
            "success": Schema.flag, "recovered": Schema.flag, "marked_error": Schema.flag, "message": Schema.text,
        ],
        "required": ["type"],
    ]

    private func test(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        let author = try request.author()
        let wish = request.body.isNull ? Wish() : try form.draft(from: request.body, startingWith: Wish())
        let (found, prices) = try await context.pool.withConnection { connection in
            (try await AccountStore.find(id, on: connection), try await PriceStore.all(on: connection))
        }
        guard let found else { throw Problem.notFound("account") }
        let account = try await context.fresh(found, now: request.now)
        guard let provider = ProviderRegistry.provider(for: ProviderAccount(account)) else {
            throw Problem.conflict("No call can be sent to the account: its base URL cannot be used.")
        }
        let model = try Self.model(wish.model, account, provider, prices)
        return .events { [context] events in
            await AccountTester(context, account, provider, model: model, by: author, events).run()
        }
    }

    private static func model(
        _ wish: String?,
        _ account: AccountRecord,
        _ provider: any Provider,
        _ prices: [ModelPrice]
    ) throws -> String {
        if let wish {
            guard ModelMapping(account.fields.modelMapping).upstreamModel(for: wish) != nil else {
                throw Problem.invalid([FieldFault("model", "is not served by this account")])
            }
            return wish
        }
        guard let chosen = TestModel.chosen(account, provider, prices) else {
            throw Problem.invalid([FieldFault("model", "must be given: no price names a model of this account")])
        }
        return chosen
    }
}
