import Dialects
import Domain
import Formats
import Testing

@Suite("What cannot be translated is refused by the field's name")
struct RefusalTests {
    private static let user = #""messages":[{"role":"user","content":"hi"}]"#

    private func fault(_ caller: Dialect, _ upstream: Dialect, _ text: String) -> GatewayError? {
        do {
            let translator = try #require(Translator(caller: caller, upstream: upstream))
            let parser = JSONParser()
            let request = try translator.request(from: Array(text.utf8), RequestEnvelope(), parser)
            _ = try translator.upstreamBody(for: request, parser)
            return nil
        } catch {
            return error as? GatewayError
        }
    }

    @Test(
        "what a caller is told, and the log with it, is short whatever the name that it used",
        arguments: [
            #"{"model":"m","NAME":1,"NAME":2,"contents":[{"parts":[{"text":"a"}]}]}"#,
            #"{"model":"m","tools":[{"NAME":{}}],"contents":[{"parts":[{"text":"a"}]}]}"#,
        ]
    )
    func longNames(_ text: String) throws {
        // One character, as Swift counts.
        let name = "a" + String(repeating: "\u{301}", count: 100_000)
        let body = text.split(separator: "NAME", omittingEmptySubsequences: false).joined(separator: name)
        let error = try #require(fault(.gemini, .anthropic, body))
        #expect(error.message.utf8.count < 1000)
        #expect(error.field?.utf8.count ?? 0 < 1000)
    }

    @Test(
        "names of functions that the upstream does not take are told in short",
        arguments: [Dialect.openaiChat, .gemini]
    )
    func longFunctionNames(_ upstream: Dialect) throws {
        let name = "a" + String(repeating: "\u{301}", count: 100_000)
        let error = try #require(
            fault(
                .anthropic,
                upstream,
                #"{"model":"m","max_tokens":5,"tools":[{"name":"\#(name)","input_schema":{"type":"object"}}],\#(Self.user)}"#
            )
        )
        #expect(error.message.utf8.count < 1000)
    }

    @Test(
        "in chat",
        arguments: [
            (#"{"model":"m","n":2,\#(user)}"#, "n"), (#"{"model":"m","logprobs":true,\#(user)}"#, "logprobs"),
            (#"{"model":"m","logit_bias":{"5":1},\#(user)}"#, "logit_bias"),
            (#"{"model":"m","modalities":["text","audio"],\#(user)}"#, "modalities"),
            (#"{"model":"m","temperature":2.5,\#(user)}"#, "temperature"),
            (#"{"model":"m","temperature":1e999,\#(user)}"#, "temperature"),
            (#"{"model":"m","max_tokens":99999999999999999999,\#(user)}"#, "max_tokens"),
            (#"{"model":"m","max_tokens":0,\#(user)}"#, "max_tokens"),
            (#"{"model":"m","tools":[{"type":"custom","custom":{"name":"x"}}],\#(user)}"#, "tools[0].type"),
            (#"{"model":"m","stream":"yes",\#(user)}"#, "stream"),
            (#"{"model":"m","reasoning_effort":"huge",\#(user)}"#, "reasoning_effort"),
            (#"{"messages":[]}"#, "model"), (#"{"model":"m"}"#, "messages"),
            (#"{"model":"m","messages":[{"role":"robot","content":"x"}]}"#, "messages[0].role"),
            (#"{"model":"m","messages":[{"role":"user"}]}"#, "messages[0].content"),
            (
                #"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,###"}}]}]}"#,
                "messages[0].content[0].image_url.url"
            ),
            (
                #"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]}"#,
                "messages[0].content[0].image_url.url"
            ),
            (
                #"{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
                "messages[0].content[0].file.file_id"
            ),
            (
                #"{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]}"#,
                "messages[0].content[0].input_audio.data"
            ),
            (#"{"model":"m","model":"n",\#(user)}"#, "model"),
            (#"{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}"#, "messages[0].content"),
        ]
    )
    func chat(_ text: String, _ field: String) throws {
        let error = try #require(fault(.openaiChat, .anthropic, text))
        #expect(error.field == field && error.status == 400 && error.message.hasPrefix("\(field): "))
    }

    @Test(
        "in messages",
        arguments: [
            (#"{"model":"m","max_tokens":5,"container":"c",\#(user)}"#, "container"),
            (#"{"model":"m","max_tokens":5,"mcp_servers":[{"type":"url"}],\#(user)}"#, "mcp_servers"),
            (#"{"model":"m","max_tokens":5,"inference_geo":"eu",\#(user)}"#, "inference_geo"),
            (
                #"{"model":"m","max_tokens":5,"tools":[{"type":"bash_20250124","name":"bash"}],\#(user)}"#,
                "tools.0.type"
            ),
            (#"{"model":"m","max_tokens":5,"tools":[{"name":"a.b","input_schema":{}}],\#(user)}"#, "tools"),
            (#"{"model":"m","max_tokens":-1,\#(user)}"#, "max_tokens"),
            (#"{"model":"m","max_tokens":5,"thinking":{"type":"enabled"},\#(user)}"#, "thinking.budget_tokens"),
            (
                #"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"not base64"}}]}]}"#,
                "messages.0.content.0.source.data"
            ),
            (
                #"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]}"#,
                "messages.0.content.0.source"
            ),
            (
                #"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_use","id":"a","name":"b","input":{}}]}]}"#,
                "messages.0.content"
            ),
            (
                #"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"hologram"}]}]}"#,
                "messages.0.content.0.type"
            ),
        ]
    )
    func messages(_ text: String, _ field: String) throws {
        let error = try #require(fault(.anthropic, .openaiResponses, text))
        #expect(error.field == field && error.status == 400)
    }

    @Test(
        "in responses",
        arguments: [
            (#"{"model":"m","input":"hi","previous_response_id":"resp_1"}"#, "previous_response_id"),
            (#"{"model":"m","input":"hi","conversation":"conv_1"}"#, "conversation"),
            (#"{"model":"m","input":"hi","background":true}"#, "background"),
            (#"{"model":"m","input":"hi","prompt":{"id":"p"}}"#, "prompt"),
            (#"{"model":"m","input":[{"type":"item_reference","id":"x"}]}"#, "input[0].type"),
            (#"{"model":"m","input":"hi","tools":[{"type":"mcp","server_label":"x"}]}"#, "tools[0].type"),
            (#"{"model":"m"}"#, "input"),
            (#"{"model":"m","input":"hi","text":{"format":{"type":"xml"}}}"#, "text.format.type"),
        ]
    )
    func responses(_ text: String, _ field: String) throws {
        let error = try #require(fault(.openaiResponses, .anthropic, text))
        #expect(error.field == field && error.status == 400)
    }

    @Test("documents that are to be cited", arguments: [Dialect.openaiChat, .openaiResponses, .gemini])
    func citations(_ upstream: Dialect) {
        for source in [
            #"{"type":"text","media_type":"text/plain","data":"a"}"#,
            #"{"type":"base64","media_type":"application/pdf","data":"AAAA"}"#,
        ] {
            func asking(_ citations: Bool) -> String {
                #"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"document","citations":{"enabled":\#(citations)},"source":\#(source)}]}]}"#
            }
            #expect(fault(.anthropic, upstream, asking(true))?.field == "messages.0.content.0.citations")
            #expect(fault(.anthropic, upstream, asking(false)) == nil)
        }
    }

    @Test("what a search is told beyond what the upstream can be told")
    func search() {
        func asking(_ options: String) -> String {
            #"{"tools":[{"googleSearch":\#(options)}],"contents":[{"role":"user","parts":[{"text":"a"}]}]}"#
        }
        let times = asking(#"{"timeRangeFilter":{"startTime":"2026-01-01T00:00:00Z"}}"#)
        #expect(fault(.gemini, .anthropic, times)?.field == "tools[0].googleSearch.timeRangeFilter")
        let domains = asking(#"{"excludeDomains":["a.example"]}"#)
        #expect(fault(.gemini, .anthropic, domains) == nil)
        #expect(fault(.gemini, .openaiResponses, domains)?.field == "tools")
        #expect(fault(.gemini, .anthropic, asking("{}")) == nil)
        #expect(fault(.gemini, .anthropic, asking(#"{"dynamicRetrievalConfig":{"mode":"MODE_DYNAMIC"}}"#)) == nil)
    }

    @Test(
        "what a Claude model would refuse, in words that are not the caller's",
        arguments: [
            (
                "claude-opus-4-1", #""response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{}}}"#,
                "response_format"
            ),
            (
                "us.anthropic.claude-opus-5-5",
                #""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#, "tool_choice"
            ),
            (
                "claude-sonnet-5-5",
                #""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}"#,
                "tool_choice"
            ),
        ]
    )
    func claudeModels(model: String, members: String, field: String) throws {
        let text = #"{"model":"\#(model)",\#(members),\#(Self.user)}"#
        #expect(fault(.openaiChat, .anthropic, text)?.field == field)
        #expect(fault(.openaiChat, .anthropic, text.replacing(model, with: "claude-sonnet-5")) == nil)
    }

    @Test("stop sequences that would take long to look for")
    func stops() throws {
        let long = String(repeating: "a", count: 5000)
        let text = #"{"model":"m","max_tokens":5,"stop_sequences":["\#(long)"],\#(Self.user)}"#
        #expect(fault(.anthropic, .openaiChat, text)?.field == "stop_sequences")
        #expect(fault(.openaiChat, .anthropic, #"{"model":"m","stop":"\#(long)",\#(Self.user)}"#) == nil)
    }

    @Test("nesting, invalid UTF-8 and what is no JSON are refused")
    func malformed() {
        let deep =
            #"{"model":"m","messages":\#(String(repeating: "[", count: 5000))\#(String(repeating: "]", count: 5000))}"#
        #expect(fault(.openaiChat, .anthropic, deep)?.status == 400)
        #expect(fault(.openaiChat, .anthropic, "{")?.status == 400)
        #expect(fault(.openaiChat, .anthropic, "[]")?.status == 400)
        let translator = Translator(caller: .openaiChat, upstream: .anthropic)
        let bytes = Array(#"{"model":"m"#.utf8) + [0xFF] + Array(#"","messages":[]}"#.utf8)
        #expect(throws: GatewayError.self) {
            _ = try translator?.request(from: bytes, RequestEnvelope(), JSONParser())
        }
    }

    @Test("a huge tool schema goes through as it came, in about the time of reading it")
    func hugeSchema() throws {
        let schema =
            "{" + (0..<50_000).map { #""p\#($0)":{"type":"number","minimum":1.50}"# }.joined(separator: ",") + "}"
        let tool = #"{"type":"function","function":{"name":"f","parameters":\#(schema)}}"#
        let text = #"{"model":"m","tools":[\#(tool)],\#(Self.user)}"#
        let request = try Translating.request(text, of: .openaiChat)
        #expect(request.tools.first?.parameters?.text == schema)
    }

    @Test("thousands of tool calls are read in one pass")
    func manyCalls() throws {
        let calls = (0..<20_000).map { #"{"type":"tool_use","id":"t\#($0)","name":"f","input":{"n":\#($0)}}"# }
        let text = """
            {"model":"m","max_tokens":5,"messages":[{"role":"user","content":"a"},\
            {"role":"assistant","content":[\(calls.joined(separator: ","))]}]}
            """
        let time = try ContinuousClock().measure { _ = try Translating.request(text, of: .anthropic) }
        // The square of 20,000 would take minutes.
        #expect(time < .seconds(20))
    }
}
