/// How an upstream says that there are too few AI credits.
enum CreditTexts {
    private static let lacks = [
        "insufficient", "not enough", "exhausted", "depleted", "too low", "used up", "run out", "ran out", "out of",
        "no remaining", "do not have", "don't have",
    ]

    /// Whether one sentence of a 4xx says so. Ordinary rate limits speak of quotas and capacities.
    static func saysInsufficient(_ answer: UpstreamAnswer) -> Bool {
        guard (400..<500).contains(answer.status), answer.status != 408, answer.says("credit") else { return false }
        return answer.texts.contains { text in
            text.lowercased().split { $0 == "." || $0 == ";" || $0 == "\n" }.contains { sentence in
                Words.contains(sentence.utf8, "credit") && lacks.contains { Words.contains(sentence.utf8, $0) }
            }
        }
    }
}
