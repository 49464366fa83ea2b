import Domain
import Formats
import Postgres

/// The public list prices that a new database begins with (November 2026).
///
/// It ends in prefix entries for families, `claude-opus-` and `gpt-` for two, so that a model that is newer than the
/// list is billed at its family's price. An admin changes them as any other price.
package enum PriceSeed {
    package enum Fault: Error { case malformed }

    /// The list. Pure.
    package static func drafts() throws -> [PriceDraft] {
        guard let entries = try JSON(PackageResources.prices_json)["prices"]?.array else { throw Fault.malformed }
        return try entries.map { entry in
            var draft = PriceDraft()
            for (name, value) in entry.object ?? [] {
                switch name {
                case "max_input_tokens": draft.maximumInput = value.int64
                case "max_output_tokens": draft.maximumOutput = value.int64
                default: break
                }
                if value.int64 != nil { continue }
                guard let text = value.string else { throw Fault.malformed }
                switch name {
                case "model": draft.model = text
                case "match":
                    guard let match = ModelPrice.Match(rawValue: text) else { throw Fault.malformed }
                    draft.match = match
                default:
                    guard let rate = RateClass(rawValue: name), let price = PricePerMillion(decimal: text) else {
                        throw Fault.malformed
                    }
                    draft.rates[rate] = price
                }
            }
            guard !draft.model.isEmpty else { throw Fault.malformed }
            return draft
        }
    }

    /// Fills a price table that never had a row; what an admin has deleted stays deleted.
    package static func plant(with changes: ChangeNotifier) async throws {
        let drafts = try drafts()
        try await changes.commit(by: .system) { change in
            guard try await PriceStore.isEmpty(on: change.connection) else { return }
            try await PriceStore.insert(drafts, on: change.connection)
            change.publish(.config)
            change.audit("seed", "price", nil, ["count": .int(Int64(drafts.count))])
        }
    }
}
