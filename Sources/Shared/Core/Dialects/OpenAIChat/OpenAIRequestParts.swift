import Domain
import Formats

/// What requests of both of OpenAI's APIs have alike.
internal enum OpenAIRequestParts {
    private static let maximumUserBytes = 64

    // MARK: Reading

    static func read(_ root: FieldReader, into request: inout NeutralRequest) throws {
        request.temperature = try root.number("temperature", in: 0...2)
        request.topP = try root.number("top_p", in: 0...1)
        request.user = try root.string("safety_identifier") ?? root.string("user")
        request.cacheKey = try root.string("prompt_cache_key")
        request.serviceTier = try root.string("service_tier")
        request.isStream = try root.bool("stream") ?? false
    }

    static func effort(_ holder: FieldReader, _ key: StaticString) throws -> NeutralReasoning.Effort? {
        guard let word = try holder.string(key) else { return nil }
        guard let effort = NeutralReasoning.Effort(rawValue: word) else {
            throw holder.fault(key, "is not an effort")
        }
        return effort
    }

    /// - Parameters:
    ///   - format: what says which format is wanted.
    ///   - schema: where the schema stands, in a format of that kind.
    static func responseFormat(
        _ format: FieldReader?,
        schema: (FieldReader) throws -> FieldReader
    ) throws -> NeutralResponseFormat {
        guard let format else { return .text }
        switch try format.requiredString("type") {
        case "text": return .text
        case "json_object": return .jsonObject
        case "json_schema":
            let wanted = try schema(format)
            return .jsonSchema(
                name: try wanted.string("name"),
                description: try wanted.string("description"),
                schema: try wanted.rawObject("schema") ?? .emptyObject,
                isStrict: try wanted.bool("strict")
            )
        default: throw format.fault("type", "must be text, json_object or json_schema")
        }
    }

    static func function(_ tool: FieldReader) throws -> NeutralTool {
        NeutralTool(
            name: try tool.requiredString("name"),
            description: try tool.string("description"),
            parameters: try tool.rawObject("parameters"),
            isStrict: try tool.bool("strict")
        )
    }

    static func toolChoice(_ word: String, _ holder: FieldReader, _ key: StaticString) throws -> NeutralToolChoice {
        switch word {
        case "auto": .auto
        case "none": .none
        case "required": .any
        default: throw holder.fault(key, "must be auto, none or required")
        }
    }

    /// Tools that must not be called need not be known.
    static func allow(
        only names: [String],
        mode holder: FieldReader,
        in request: inout NeutralRequest
    ) throws {
        request.tools.removeAll { !names.contains($0.name) }
        request.toolChoice = try toolChoice(try holder.requiredString("mode"), holder, "mode")
    }

    /// A part of the kind `input_audio`.
    static func audio(_ part: FieldReader) throws -> NeutralPart.Content {
        let audio = try part.requiredObject("input_audio")
        let data = try audio.requiredString("data")
        guard Base64.isValid(data) else { throw audio.fault("data", "is not valid base64") }
        let type = "audio/\(try audio.requiredString("format"))"
        return .audio(NeutralMedia(.base64(mediaType: type, data: data), field: audio.name("data")))
    }

    // MARK: Writing

    static func writeSchema(
        _ name: String?,
        _ description: String?,
        _ schema: RawJSON,
        _ isStrict: Bool?,
        to json: inout JSONWriter
    ) {
        json.member("name", name ?? "answer")
        if let description { json.member("description", description) }
        json.key("schema")
        json.raw(schema.bytes)
        if let isStrict { json.member("strict", isStrict) }
    }

    /// - Parameter writeNamed: the choice of one function.
    static func writeToolChoice(
        of request: NeutralRequest,
        to json: inout JSONWriter,
        named writeNamed: (String, inout JSONWriter) -> Void
    ) {
        if let isParallel = request.allowsParallelTools { json.member("parallel_tool_calls", isParallel) }
        switch request.toolChoice {
        case nil: break
        case .auto: json.member("tool_choice", "auto")
        case .any: json.member("tool_choice", "required")
        case .some(.none): json.member("tool_choice", "none")
        case .named(let name):
            json.key("tool_choice")
            json.object { json in
                json.member("type", "function")
                writeNamed(name, &json)
            }
        }
    }

    /// A user's name that is too long is left out.
    static func writeCaller(of request: NeutralRequest, to json: inout JSONWriter) {
        if let user = request.user, user.utf8.count <= maximumUserBytes { json.member("user", user) }
        if let key = request.cacheKey { json.member("prompt_cache_key", key) }
    }
}
