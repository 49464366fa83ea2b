import Formats

/// Checks of members that the bodies of both of OpenAI's dialects have.
enum OpenAIMembers {
    static func model(_ root: JSONValue) throws(Refusal) -> String {
        guard root.isObject else { throw Refusal("Expected an object.") }
        guard let model = root["model"]?.string, !model.isEmpty else {
            throw Refusal("you must provide a model parameter")
        }
        return model
    }

    static func missing(_ name: String) -> Refusal {
        Refusal("Missing required parameter: '\(name)'.", param: name, code: "missing_required_parameter")
    }

    static func wrongType(_ name: String, _ expected: String) -> Refusal {
        Refusal("Invalid type for '\(name)': expected \(expected).", param: name, code: "invalid_type")
    }

    static func flag(_ root: JSONValue, _ name: StaticString) throws(Refusal) -> Bool? {
        guard let value = root[name], !value.isNull else { return nil }
        guard let flag = value.bool else { throw wrongType("\(name)", "a boolean") }
        return flag
    }

    /// A number of tokens.
    static func count(_ root: JSONValue, _ name: StaticString, from least: Int64 = 1) throws(Refusal) -> Int? {
        guard let value = root[name], !value.isNull else { return nil }
        guard let number = value.int64 else { throw wrongType("\(name)", "an integer") }
        guard number >= least else {
            throw Refusal(
                "Invalid '\(name)': integer below minimum value. Expected a value >= \(least), but got \(number) instead.",
                param: "\(name)",
                code: "integer_below_min_value"
            )
        }
        return Int(number)
    }

    static func checkSampling(_ root: JSONValue) throws(Refusal) {
        let ranges: [(StaticString, ClosedRange<Double>)] = [
            ("temperature", 0...2), ("top_p", 0...1), ("presence_penalty", -2...2), ("frequency_penalty", -2...2),
        ]
        for (name, range) in ranges {
            guard let value = root[name], !value.isNull else { continue }
            guard let number = value.double else { throw wrongType("\(name)", "a decimal") }
            guard !range.contains(number) else { continue }
            let isAbove = number > range.upperBound
            throw Refusal(
                "Invalid '\(name)': decimal \(isAbove ? "above maximum" : "below minimum") value. Expected a value"
                    + " \(isAbove ? "<= \(range.upperBound)" : ">= \(range.lowerBound)"), but got \(number) instead.",
                param: "\(name)",
                code: isAbove ? "decimal_above_max_value" : "decimal_below_min_value"
            )
        }
    }

    /// Whether an effort makes a model think.
    static func thinks(_ effort: JSONValue?) -> Bool {
        guard let effort = effort?.string else { return false }
        return effort != "none" && effort != "minimal"
    }

    /// What answers a request for JSON, with or without a schema.
    static func structured(_ format: JSONValue?, schema: JSONValue?) -> [UInt8]? {
        switch format?["type"]?.string {
        case "json_schema": schema.map { JSONSample.value(of: $0) }
        case "json_object": Array("{\"sim\":\"value\"}".utf8)
        default: nil
        }
    }

    /// `auto`, `none`, `required`, or the name of a tool that is offered.
    static func choice(_ choice: JSONValue?, name: String?, _ tools: [OfferedTool]) throws(Refusal) -> ToolChoice {
        guard let choice, !choice.isNull else { return .auto }
        switch choice.string {
        case "auto": return .auto
        case "none": return .none
        case "required": return .any
        default: break
        }
        guard let name, tools.contains(where: { $0.name == name }) else {
            throw Refusal(
                "Tool choice '\(name ?? choice.string ?? "")' not found in 'tools' parameter.",
                param: "tool_choice"
            )
        }
        return .named(name)
    }

    /// What usage says of the input beside the cached part, where there is any.
    static func writeInput(_ usage: ReportedUsage, to text: inout JSONWriter) {
        if usage.cacheWrite5m > 0 { text.member("cache_write_tokens", usage.cacheWrite5m) }
        writeMedia(image: usage.imageInput, audio: usage.audioInput, to: &text)
    }

    /// What usage says of the output beside the reasoning, where there is any.
    static func writeOutput(_ usage: ReportedUsage, to text: inout JSONWriter) {
        writeMedia(image: usage.imageOutput, audio: usage.audioOutput, to: &text)
    }

    private static func writeMedia(image: Int, audio: Int, to text: inout JSONWriter) {
        if image > 0 { text.member("image_tokens", image) }
        if audio > 0 { text.member("audio_tokens", audio) }
    }
}
