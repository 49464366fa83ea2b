import Domain
import Formats

/// A price in answers: USD as decimal text, null for a class without a price.
package enum PriceView {
    package static var view: View<PriceRecord> {
        View(
            [
                .init("id", Schema.id) { .int($0.id) },
                .init("model", Schema.text) { .string($0.fields.model) },
                .init("match", Schema.choice(["exact", "prefix"])) { .string($0.fields.match.rawValue) },
            ]
                + RateClass.allCases.map { rate in
                    .init(rate.rawValue, Schema.money.nullable) { record in
                        record.fields.rates[rate].map { .string($0.description) } ?? .null
                    }
                }
                + [
                    .init("max_input_tokens", Schema.integer.nullable) {
                        $0.fields.maximumInput.map { .int($0) } ?? .null
                    },
                    .init("max_output_tokens", Schema.integer.nullable) {
                        $0.fields.maximumOutput.map { .int($0) } ?? .null
                    },
                    .init("version", Schema.integer) { .int($0.revision) },
                    .init("created_at", Schema.time) { .time($0.createdAt) },
                    .init("updated_at", Schema.time) { .time($0.updatedAt) },
                ]
        )
    }
}
