import Formats

/// `:embedContent` and `:batchEmbedContents`.
enum GeminiEmbeddings {
    static func one(_ root: JSONValue) throws(Refusal) -> [UInt8] {
        let vector = try vector(root)
        return JSONWriter.object { text in text.objectMember("embedding") { write(vector, to: &$0) } }
    }

    static func batch(_ root: JSONValue) throws(Refusal) -> [UInt8] {
        var vectors: [[Float]] = []
        for request in root["requests"].items { vectors.append(try vector(request)) }
        guard !vectors.isEmpty else { throw Refusal("* BatchEmbedContentsRequest.requests: requests is not specified") }
        return JSONWriter.object { text in
            text.arrayMember("embeddings") { text in
                for vector in vectors { text.object { write(vector, to: &$0) } }
            }
        }
    }

    private static func vector(_ request: JSONValue) throws(Refusal) -> [Float] {
        let texts = request["content"]?["parts"].items.compactMap { $0["text"]?.string } ?? []
        guard !texts.isEmpty else { throw Refusal("* EmbedContentRequest.content: content is not specified") }
        let dimensions = request.either("outputDimensionality", "output_dimensionality")?.int64 ?? 8
        return Embedding.vector(of: texts.joined().utf8, Int(max(1, min(dimensions, 4_096))))
    }

    private static func write(_ vector: [Float], to text: inout JSONWriter) {
        text.arrayMember("values") { for number in vector { $0.double(Double(number)) } }
    }
}
