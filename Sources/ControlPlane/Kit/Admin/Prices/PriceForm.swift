import Domain
import Formats

/// What a request may say of a price. Pure.
package enum PriceForm {
    package static var form: Form<PriceDraft> {
        Form(
            [
                .required("model", \.model, .modelName),
                .optional("match", \.match, .choice([.exact, .prefix]), default: .exact),
            ]
                + RateClass.allCases.map { rate in
                    .optional(
                        rate.rawValue,
                        \.rates[rate],
                        ValueKind<PricePerMillion>.price.described(rate.description).orNil,
                        default: nil
                    )
                },
            readOnly: PriceView.view.names
        )
    }

    /// A price without any rate would bill nothing and look as if it were meant.
    package static func faults(_ draft: PriceDraft) -> [FieldFault] {
        draft.rates[.input] == nil && draft.rates[.output] == nil
            ? [FieldFault("input", "is required, or else output; 0 says that a class is free")] : []
    }
}

extension RateClass {
    package var description: String {
        switch self {
        case .webSearch: "USD a search"
        case .request: "USD a call, whatever its tokens"
        case .cacheWrite5m, .cacheRead, .imageInput, .audioInput:
            "USD per million tokens; without a price they cost what input does"
        case .cacheWrite1h: "USD per million tokens; without a price they cost what those written for 5 minutes do"
        case .imageOutput, .audioOutput: "USD per million tokens; without a price they cost what output does"
        case .inputAbove200k, .outputAbove200k, .cacheReadAbove200k:
            "USD per million tokens of calls with more than 200,000 input tokens"
        case .inputAbove272k, .outputAbove272k: "USD per million tokens of calls with more than 272,000 input tokens"
        default: "USD per million tokens"
        }
    }
}
