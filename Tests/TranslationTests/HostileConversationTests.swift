import Dialects
import Domain
import Formats
import TestSupport
import Testing

@Suite("Conversations made to be costly")
struct HostileConversationTests {
    private static func gemini(_ modelParts: [String], _ userParts: [String] = [#"{"text":"Go on"}"#]) -> [UInt8] {
        let contents = [
            #"{"role":"model","parts":["# + modelParts.joined(separator: ",") + "]}",
            #"{"role":"user","parts":["# + userParts.joined(separator: ",") + "]}",
        ]
        return Array((#"{"contents":["# + contents.joined(separator: ",") + "]}").utf8)
    }

    private static func list(_ count: Int, _ item: (Int) -> String) -> String {
        (0..<count).map(item).joined(separator: ",")
    }

    private static let conversations: [(dialect: Dialect, body: @Sendable (Int) -> [UInt8])] = [
        // Results in another order than their calls, without ids.
        (
            .gemini,
            { count in
                gemini(
                    (0..<count).map { #"{"functionCall":{"name":"f\#($0)","args":{}}}"# },
                    (0..<count).reversed().map { #"{"functionResponse":{"name":"f\#($0)","response":{}}}"# }
                )
            }
        ),
        // Results named by id in another order.
        (
            .gemini,
            { count in
                gemini(
                    (0..<count).map { #"{"functionCall":{"name":"f","id":"c\#($0)","args":{}}}"# },
                    (0..<count).reversed().map { #"{"functionResponse":{"name":"f","id":"c\#($0)","response":{}}}"# }
                )
            }
        ),
        // One thought in many pieces.
        (
            .gemini,
            { count in
                gemini((0..<count).map { _ in #"{"thought":true,"text":"\#(String(repeating: "hm ", count: 50))"}"# })
            }
        ),
        (
            .anthropic,
            { count in
                let calls = list(count) { #"{"type":"tool_use","id":"c\#($0)","name":"f\#($0)","input":{}}"# }
                let results = list(count) {
                    #"{"type":"tool_result","tool_use_id":"c\#(count - 1 - $0)","content":"x"}"#
                }
                return Array(
                    """
                    {"model":"m","max_tokens":9,"system":[\(list(count) { _ in #"{"type":"text","text":"s"}"# })],
                    "tools":[\(list(count) { #"{"name":"f\#($0)","input_schema":{"type":"object"}}"# })],
                    "messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[\(calls)]},
                    {"role":"user","content":[\(results)]},
                    \(list(count) { _ in #"{"role":"user","content":"x"},{"role":"user","content":"y"}"# })]}
                    """.utf8
                )
            }
        ),
        (
            .openaiChat,
            { count in
                let calls = list(count) {
                    #"{"id":"c\#($0)","type":"function","function":{"name":"f\#($0)","arguments":"{}"}}"#
                }
                let tools = list(count) {
                    #"{"type":"function","function":{"name":"f\#($0)","parameters":{"type":"object"}}}"#
                }
                return Array(
                    """
                    {"model":"m","tools":[\(tools)],
                    "messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[\(calls)]},
                    \(list(count) { #"{"role":"tool","tool_call_id":"c\#(count - 1 - $0)","content":"x"}"# }),
                    \(list(count) { _ in #"{"role":"user","content":"x"},{"role":"system","content":"y"}"# })]}
                    """.utf8
                )
            }
        ),
        (
            .openaiResponses,
            { count in
                let calls = list(count) {
                    #"{"type":"function_call","call_id":"c\#($0)","name":"f\#($0)","arguments":"{}"}"#
                }
                let results = list(count) {
                    #"{"type":"function_call_output","call_id":"c\#(count - 1 - $0)","output":"x"}"#
                }
                let tools = list(count) { #"{"type":"function","name":"f\#($0)","parameters":{"type":"object"}}"# }
                return Array(
                    """
                    {"model":"m","tools":[\(tools)],"input":[{"role":"user","content":"Hi"},\(calls),\(results),
                    \(list(count) { _ in #"{"role":"user","content":"x"},{"role":"developer","content":"y"}"# })]}
                    """.utf8
                )
            }
        ),
    ]

    @Test("cost what their length allows, read and written for every upstream", arguments: conversations.indices)
    func cost(_ place: Int) throws {
        let (dialect, make) = Self.conversations[place]
        let parser = JSONParser()
        for upstream in Translating.dialects {
            func time(_ count: Int) throws -> Duration {
                let body = make(count)
                return try threadTime {
                    let request = try Translating.request(body, of: dialect)
                    _ = try Translating.codec(upstream).encodeRequest(request, parser)
                }
            }
            let few = try time(300)
            // Twenty times as many: a search from the beginning for each would take 400 times as long.
            let many = try time(6000)
            #expect(many < few * 80, "\(dialect) to \(upstream)")
        }
    }

    @Test("a result belongs to the first open call of its name, whatever ids took out before")
    func order() throws {
        let body = Self.gemini(
            [
                #"{"functionCall":{"name":"f","id":"a","args":{}}}"#,
                #"{"functionCall":{"name":"f","id":"b","args":{}}}"#,
                #"{"functionCall":{"name":"g","args":{}}}"#, #"{"functionCall":{"name":"f","id":"c","args":{}}}"#,
            ],
            [
                #"{"functionResponse":{"name":"f","id":"a","response":{}}}"#,
                #"{"functionResponse":{"name":"f","response":{}}}"#,
                #"{"functionResponse":{"name":"g","response":{}}}"#,
                #"{"functionResponse":{"name":"f","response":{}}}"#,
            ]
        )
        let results = try Translating.request(body, of: .gemini).messages.flatMap(\.parts).compactMap { part in
            if case .toolResult(let result) = part.content { result.id } else { nil }
        }
        #expect(results == ["a", "b", "call_0_2", "c"])
    }
}
