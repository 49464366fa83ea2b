import Formats

/// `/v1/embeddings`: a vector for each input, made of its digest; four bytes are a token.
enum OpenAIEmbeddings {
    private static let mostInputs = 2_048

    static func answer(
        _ document: JSONDocument,
        _ words: ControlWords
    ) throws(Refusal) -> (body: [UInt8], usage: ReportedUsage) {
        let root = document.root
        let model = try OpenAIMembers.model(root)
        let inputs = try inputs(root["input"], document)
        let dimensions = min(try OpenAIMembers.count(root, "dimensions") ?? 8, 4_096)
        let isBase64 = root["encoding_format"]?.equals("base64") == true
        var usage = ReportedUsage()
        usage.input = words.inputTokens ?? inputs.reduce(0) { $0 + Prompt.tokens($1.count) }
        let body = JSONWriter.object { text in
            text.member("object", "list")
            text.arrayMember("data") { text in
                for (index, input) in inputs.enumerated() {
                    text.object {
                        $0.member("object", "embedding")
                        $0.member("index", index)
                        write(Embedding.vector(of: input, dimensions), isBase64: isBase64, to: &$0)
                    }
                }
            }
            text.member("model", model)
            text.objectMember("usage") {
                $0.member("prompt_tokens", usage.input)
                $0.member("total_tokens", usage.input)
            }
        }
        return (body, usage)
    }

    /// A text, a list of token numbers, or a list of either.
    private static func inputs(_ input: JSONValue?, _ document: JSONDocument) throws(Refusal) -> [[UInt8]] {
        guard let input, !input.isNull else { throw OpenAIMembers.missing("input") }
        if let text = input.stringBytes { return [Array(text)] }
        let elements = Array(input.elements)
        guard input.isArray, !elements.isEmpty, elements.count <= mostInputs else {
            throw Refusal("'$.input' is invalid. Please check the API reference.", param: "input")
        }
        if elements[0].int64 != nil { return [[UInt8](repeating: 0, count: elements.count * 4)] }
        return elements.map { $0.stringBytes.map { Array($0) } ?? Array(document.bytes(of: $0)) }
    }

    private static func write(_ vector: [Float], isBase64: Bool, to text: inout JSONWriter) {
        if isBase64 {
            let bytes = vector.flatMap { number in withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) } }
            return text.member("embedding", Base64.encode(bytes))
        }
        text.arrayMember("embedding") { for number in vector { $0.double(Double(number)) } }
    }
}
