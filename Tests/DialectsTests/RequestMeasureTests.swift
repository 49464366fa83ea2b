import Dialects
import Domain
import Formats
import Testing

@Suite("What a request gives a model to read")
struct RequestMeasureTests {
    private static let data = String(repeating: "QUJD", count: 1_000)
    private let parser = JSONParser()

    private func measure(_ text: String, _ dialect: Dialect) throws -> RequestMeasure {
        let body = Array(text.utf8)
        let route = CallRoute(dialect, model: dialect == .gemini ? "m" : nil)
        return try parser.outline(body) { RequestMeasure(of: $0, try dialect.wire.summary(of: $0, route), dialect) }
    }

    private func anthropic(_ block: String) throws -> RequestMeasure {
        try measure(#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[\#(block)]}]}"#, .anthropic)
    }

    private func responses(_ item: String) throws -> RequestMeasure {
        try measure(#"{"model":"m","input":[\#(item)]}"#, .openaiResponses)
    }

    private static func image(_ source: String = "source", _ type: String = "type") -> String {
        #"{"type":"image","\#(source)" : {"\#(type)":"base64","media_type":"image/png","data":"\#(data)"}}"#
    }

    @Test("an image counts wherever it stands, a tool's result included, and however its keys are written")
    func images() throws {
        for block in [
            Self.image(), Self.image(#"so\u0075rce"#), Self.image(#"\u0073ource"#, #"t\u0079pe"#),
            Self.image("source", #"\u0074\u0079\u0070\u0065"#), Self.image(#"\u0073\u006f\u0075\u0072\u0063\u0065"#),
            #"{"type":"tool_result","tool_use_id":"t","content":[\#(Self.image())]}"#,
        ] {
            let measured = try anthropic(block)
            #expect(measured.media == .image)
            let whole = try anthropic(block.replacing(Self.data, with: ""))
            #expect(measured.textBytes == whole.textBytes)
        }
        let two = try anthropic(Self.image() + "," + Self.image())
        #expect(two.media.most == 2 * MediaTokens.image.most && two.media.likely == 2 * MediaTokens.image.likely)
    }

    @Test("no byte counts twice, however a caller names it")
    func once() throws {
        let url = "data:audio/wav;base64," + Self.data
        for item in [
            #"{"type":"input_audio","input_audio":{"type":"x","file_data":"\#(url)"}}"#,
            #"{"type":"input_audio","input_audio":{"type":"x","file_data":"\#(url)","data":"\#(Self.data)"}}"#,
            #"{"type":"input_audio","input_audio":{"data":"\#(Self.data)","format":"wav"}}"#,
        ] {
            let measured = try responses(item)
            let rest = item.replacing(url, with: "").replacing(Self.data, with: "")
            #expect(measured.textBytes >= (try responses(rest)).textBytes)
            #expect(measured.media.most > 0)
        }
    }

    @Test(
        "what stands where no media belong is text",
        arguments: [
            #"{"type":"text","text":"\#(Self.data)"}"#,
            #"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"\#(Self.data)"}}"#,
            #"{"type":"thinking","thinking":"so","signature":"\#(Self.data)"}"#,
            #"{"type":"tool_use","id":"t","name":"n","input":{"source":{"type":"url","url":"x"},"file_id":"f"}}"#,
            #"{"type":"tool_use","id":"t","name":"n","input":{"source":"\#(Self.data)"}}"#,
        ]
    )
    func text(block: String) throws {
        let measured = try anthropic(block)
        #expect(measured.media == MediaTokens())
        #expect(measured.textBytes > block.utf8.count)
    }

    @Test("who writes a key twice has no media left out, and pays for a document")
    func twice() throws {
        let block =
            #"{"type":"document","source":{"type":"base64","type":"text","media_type":"text/plain","data":"\#(Self.data)"}}"#
        let measured = try anthropic(block)
        #expect(measured.media == .unseen && measured.textBytes > block.utf8.count)
    }

    @Test("a tool's schema is no file")
    func schema() throws {
        let properties = #"{"file_id":{"type":"string"},"image_url":{"type":"string"},"id":{"type":"string"}}"#
        let tool = #""tools":[{"type":"function","name":"f","parameters":{"properties":\#(properties)}}]"#
        let other = #""metadata":{"file_id":"x","id":"y"}"#
        #expect(try measure(#"{"model":"m","input":"hi",\#(tool),\#(other)}"#, .openaiResponses).media == MediaTokens())
        let chat = #"{"model":"m","messages":[],\#(tool),\#(other)}"#
        #expect(try measure(chat, .openaiChat).media == MediaTokens())
    }

    @Test("what was said before counts once, however it is named")
    func stored() throws {
        let reference = #"{"type":"item_reference","id":"msg_1"}"#
        #expect(try responses(reference).media == .unseen)
        #expect(try responses(reference + "," + reference).media == .unseen)
        #expect(try responses(#"{"id":"msg_1"}"#).media == .unseen)
        #expect(try responses(#"{"type":null,"id":"msg_1"}"#).media == .unseen)
        #expect(try responses(#"{"type":"reasoning","id":"rs_1","summary":[]}"#).media == MediaTokens())
        #expect(try responses(#"{"role":"user","id":"msg_1","content":"hi"}"#).media == MediaTokens())
        for field in [#""previous_response_id":"resp_1""#, #""conversation":{"id":"c"}"#, #""prompt":{"id":"p"}"#] {
            #expect(try measure(#"{"model":"m","input":"hi",\#(field)}"#, .openaiResponses).media == .unseen)
        }
        #expect(try measure(#"{"model":"m","input":"","conversation":null}"#, .openaiResponses).media == MediaTokens())
        for field in ["cachedContent", "cached_content"] {
            #expect(try measure(#"{"contents":[],"\#(field)":"c/1"}"#, .gemini).media == .unseen)
        }
    }

    @Test("an image by its id is one, a screenshot as well; PHP's slashes are no obstacle")
    func responsesImages() throws {
        #expect(
            try responses(#"{"role":"user","content":[{"file_id":"f","type":"input_image"}]}"#).media == .detailedImage
        )
        let output = #"{"type":"computer_screenshot","image_url":"data:image\/png;base64,\#(Self.data)"}"#
        let measured = try responses(#"{"type":"computer_call_output","call_id":"c","output":\#(output)}"#)
        #expect(measured.media == .detailedImage && measured.textBytes < 200)
    }

    @Test("thousands of objects that look like files take no longer than as many others")
    func many() throws {
        let files = Array(repeating: #""file_id":"f""#, count: 20_000).joined(separator: ",")
        let start = ContinuousClock.now
        let measured = try responses("{\(files)}")
        #expect(measured.media.most > 0 && ContinuousClock.now - start < .seconds(5))
    }
}
