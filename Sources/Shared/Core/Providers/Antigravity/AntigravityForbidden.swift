import Domain
import Formats

/// What kind of 403 it is, and where the account's owner can set it right.
struct AntigravityForbidden {
    let type: ForbiddenType
    let url: String?

    private static let validationWords = ["validation_required", "verify your account", "validation_url"]
    private static let violationWords = ["terms of service", "violation", "banned"]
    /// What a text speaks of whose URL leads to a verification or an appeal.
    private static let remedyWords = ["verif", "validat", "appeal"]

    init(_ answer: UpstreamAnswer) {
        type =
            answer.says(anyOf: Self.validationWords)
            ? .validation : answer.says(anyOf: Self.violationWords) ? .violation : .forbidden
        url = Self.structured(answer) ?? Self.inText(answer)
    }

    private static func structured(_ answer: UpstreamAnswer) -> String? {
        for name in ["validation_url", "appeal_url"] {
            for detail in answer.details.prefix(32) {
                if let url = detail["metadata"]?[name]?.string.flatMap({ WebAddress.first(in: $0) }) { return url }
            }
        }
        return nil
    }

    private static func inText(_ answer: UpstreamAnswer) -> String? {
        for text in answer.texts {
            guard Words.contains(text.lowercased(), anyOf: remedyWords) else { continue }
            if let url = WebAddress.first(in: text) { return url }
        }
        return nil
    }
}
