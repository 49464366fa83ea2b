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
                }
                + [
                    .optional("max_input_tokens", \.maximumInput, maximum, default: nil),
                    .optional("max_output_tokens", \.maximumOutput, maximum, default: nil),
                ],
            readOnly: PriceView.view.names
        )
    }

    /// Calls reserve no more than a model can take and give.
    private static var maximum: ValueKind<Int64?> { ValueKind<Int64>.integer(1...100_000_000).orNil }

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
        case .inputAbove100k, .outputAbove100k, .cacheWrite5mAbove100k, .cacheWrite1hAbove100k, .cacheReadAbove100k:
            "USD per million tokens of calls with more than 100,000 input tokens, cached ones included"
        case .inputAbove200k, .outputAbove200k, .cacheWrite5mAbove200k, .cacheWrite1hAbove200k, .cacheReadAbove200k:
            "USD per million tokens of calls with more than 200,000 input tokens, cached ones included"
        case .inputAbove272k, .outputAbove272k, .cacheWrite5mAbove272k, .cacheReadAbove272k:
            "USD per million tokens of calls with more than 272,000 input tokens, cached ones included"
        case .inputFlex, .outputFlex, .cacheWrite5mFlex, .cacheReadFlex:
            "USD per million tokens of calls that the upstream served as flex"
        case .inputPriority, .outputPriority, .cacheWrite5mPriority, .cacheReadPriority:
            "USD per million tokens of calls that the upstream served with priority, OpenAI's fast mode"
        case .inputUltrafast, .outputUltrafast, .cacheWrite5mUltrafast, .cacheReadUltrafast:
            "USD per million tokens of calls that the upstream served in its ultrafast mode"
        case .inputFast, .outputFast, .cacheWrite5mFast, .cacheWrite1hFast, .cacheReadFast:
            "USD per million tokens of calls that Anthropic served in fast mode"
        case .inputUS, .outputUS, .cacheWrite5mUS, .cacheWrite1hUS, .cacheReadUS:
            "USD per million tokens of calls that the upstream served in the United States alone"
        default: "USD per million tokens"
        }
    }
}
