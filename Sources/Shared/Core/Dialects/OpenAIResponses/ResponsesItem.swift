import Domain
import Formats

/// An output item of the Responses API, as it grows.
internal struct ResponsesItem {
    let id: String
    let block: NeutralBlock
    /// Words, thoughts, or arguments, by the block's kind.
    var text: [UInt8] = []
    var seal: NeutralSignature?
    var citations: [NeutralCitation] = []

    init(_ block: NeutralBlock, number: Int, _ context: AnswerContext) {
        self.block = block
        let prefix =
            switch block {
            case .text, .refusal: "msg"
            case .thinking, .redactedThinking: "rs"
            case .toolUse: "fc"
            case .image: "ig"
            }
        id = "\(prefix)_\(context.requestID)_\(number)"
    }

    init(_ whole: NeutralAnswer.Block, number: Int, _ context: AnswerContext) {
        switch whole {
        case .text(let text, let citations):
            self.init(.text, number: number, context)
            self.text = Array(text.utf8)
            self.citations = citations
        case .refusal(let text):
            self.init(.refusal, number: number, context)
            self.text = Array(text.utf8)
        case .thinking(let thinking):
            self.init(.thinking, number: number, context)
            text = Array(thinking.text.utf8)
            seal = thinking.signature
        case .redactedThinking(let seal): self.init(NeutralBlock.redactedThinking(seal), number: number, context)
        case .toolUse(let use):
            self.init(.toolUse(id: use.id, name: use.name, signature: nil), number: number, context)
            text = use.arguments.bytes
        case .image(let mediaType, let data):
            self.init(NeutralBlock.image(mediaType: mediaType, data: data), number: number, context)
        }
    }

    var string: String { String(decoding: text, as: UTF8.self) }
    /// Clients parse them, and nothing is not JSON.
    var arguments: String { text.isEmpty ? "{}" : string }

    func write(isDone: Bool, to json: inout JSONWriter) {
        json.object { json in
            json.member("id", id)
            switch block {
            case .text, .refusal:
                json.member("type", "message")
                json.member("status", isDone ? "completed" : "in_progress")
                json.member("role", "assistant")
                json.key("content")
                json.array { if isDone { writePart(to: &$0) } }
            case .thinking:
                json.member("type", "reasoning")
                json.key("summary")
                json.array { if isDone, !text.isEmpty { ResponsesInputWriter.writeSummary(string, to: &$0) } }
                if let seal { json.member("encrypted_content", content(of: seal)) }
            case .redactedThinking(let seal):
                json.member("type", "reasoning")
                json.key("summary")
                json.array { _ in }
                json.member("encrypted_content", seal.carried(by: .openaiResponses, isRedacted: true))
            case .toolUse(let id, let name, _):
                json.member("type", "function_call")
                json.member("status", isDone ? "completed" : "in_progress")
                json.member("call_id", id)
                json.member("name", name)
                json.member("arguments", isDone ? arguments : "")
            case .image(let mediaType, let data):
                json.member("type", "image_generation_call")
                json.member("status", isDone ? "completed" : "in_progress")
                json.member("output_format", String(mediaType.split(separator: "/").last ?? "png"))
                json.member("result", isDone ? data : nil)
            }
        }
    }

    private func content(of seal: NeutralSignature) -> String {
        seal.origin == .openaiResponses ? ResponsesSeal.parts(seal).content : seal.carried(by: .openaiResponses)
    }

    /// The content part of a message.
    func writePart(to json: inout JSONWriter) {
        json.object { json in
            if block == .refusal {
                json.member("type", "refusal")
                return json.member("refusal", string)
            }
            json.member("type", "output_text")
            json.member("text", string)
            json.key("annotations")
            json.array { for citation in citations { write(citation, to: &$0) } }
            json.key("logprobs")
            json.array { _ in }
        }
    }

    func write(_ citation: NeutralCitation, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "url_citation")
            $0.member("start_index", 0)
            $0.member("end_index", string.unicodeScalars.count)
            $0.member("title", citation.title ?? "")
            $0.member("url", citation.url)
        }
    }
}
