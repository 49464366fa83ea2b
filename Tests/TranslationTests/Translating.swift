import Dialects
import Domain
import Formats

/// What the suites share: one call's translation without a relay.
enum Translating {
    static let context = AnswerContext(
        model: "as-called",
        requestID: "req1",
        created: 1_763_700_001,
        options: {
            var options = NeutralAnswerOptions()
            options.includesUsage = true
            return options
        }()
    )
    static let dialects = DialectRegistry.codecs.map { $0.dialect }

    static func codec(_ dialect: Dialect) -> any DialectCodec.Type {
        guard let codec = DialectRegistry.codec(of: dialect) else { fatalError("no codec of \(dialect)") }
        return codec
    }

    /// An upstream's stream in the caller's dialect, fed in the given pieces.
    static func stream(
        _ pieces: [ArraySlice<UInt8>],
        from upstream: Dialect,
        to caller: Dialect,
        _ parser: JSONParser = JSONParser()
    ) -> (bytes: [UInt8], translator: StreamTranslator) {
        let translator = StreamTranslator(
            from: codec(upstream).makeStreamDecoder(),
            to: codec(caller).makeStreamEncoder(context)
        )
        var out: [UInt8] = []
        for piece in pieces { piece.withUnsafeBytes { translator.feed($0, parser, into: &out) } }
        translator.finish(into: &out)
        return (out, translator)
    }

    static func text(_ dialect: Dialect, _ name: String, to caller: Dialect) -> String {
        String(decoding: stream([Fixture.bytes(dialect, name)[...]], from: dialect, to: caller).bytes, as: UTF8.self)
    }

    /// What a stream amounts to.
    static func fold(_ stream: [UInt8], of dialect: Dialect) throws -> NeutralFold {
        let fold = NeutralFold()
        let decoder = codec(dialect).makeStreamDecoder()
        let parser = JSONParser()
        var events = SSEParser()
        try events.feed(stream) { decoder.receive($0, parser, into: fold) }
        decoder.finish(into: fold)
        return fold
    }

    static func request(_ text: String, of dialect: Dialect) throws -> NeutralRequest {
        try request(Array(text.utf8), of: dialect)
    }

    static func request(_ bytes: [UInt8], of dialect: Dialect) throws -> NeutralRequest {
        try JSONParser().parse(bytes) { try codec(dialect).decodeRequest($0, RequestEnvelope(), JSONParser()) }
    }

    static func body(_ request: NeutralRequest, to dialect: Dialect) throws -> JSON {
        try JSON(try codec(dialect).encodeRequest(request, JSONParser()))
    }
}
