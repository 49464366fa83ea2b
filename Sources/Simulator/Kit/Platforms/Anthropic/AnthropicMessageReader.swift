import Formats

/// Reads and checks one message of a prompt.
struct AnthropicMessageReader {
    enum Role: String { case user, assistant, system }

    private let document: JSONDocument
    private let version: AnthropicVersion
    private let path: String

    private(set) var role = Role.user
    private(set) var isEmpty = true
    private(set) var texts: [String] = []
    private(set) var toolCallIDs: [String] = []
    private(set) var toolResults: [(id: String, text: String)] = []

    init(_ document: JSONDocument, _ version: AnthropicVersion, at path: String) {
        self.document = document
        self.version = version
        self.path = path
    }

    mutating func read(_ message: JSONValue, into prompt: inout Prompt) throws(Refusal) {
        guard message.isObject else { throw Refusal("\(path): Input should be an object") }
        guard let roleName = message["role"] else { throw Refusal("\(path).role: Field required") }
        guard let role = roleName.string.flatMap(Role.init) else {
            throw Refusal("\(path).role: Input should be 'user', 'assistant' or 'system'")
        }
        self.role = role
        guard let content = message["content"] else { throw Refusal("\(path).content: Field required") }
        if let text = content.stringBytes {
            isEmpty = text.isEmpty
            texts.append(String(decoding: text, as: UTF8.self))
            return prompt.add(text)
        }
        guard content.isArray else { throw Refusal("\(path).content: Input should be a valid list") }
        for (index, block) in content.elements.enumerated() {
            let path = "\(path).content.\(index)"
            isEmpty = false
            try read(block: block, at: path, into: &prompt)
            if let lifetime = try AnthropicRequest.lifetime(block["cache_control"], "\(path).cache_control") {
                prompt.mark(lifetime)
            }
        }
    }

    /// Every tool call wants its result in the very next message, and no result may come without a call.
    func checkResults(against calls: [String], before index: Int) throws(Refusal) {
        let results = toolResults.map(\.id)
        let missing = calls.filter { !results.contains($0) }
        guard missing.isEmpty else {
            throw Refusal(
                "messages.\(index - 1): `tool_use` ids were found without `tool_result` blocks immediately after:"
                    + " \(missing.joined(separator: ", ")). Each `tool_use` block must have a corresponding"
                    + " `tool_result` block in the next message."
            )
        }
        if let stray = results.first(where: { !calls.contains($0) }) {
            throw Refusal(
                "\(path): unexpected `tool_use_id` found in `tool_result` blocks: \(stray). Each `tool_result` block"
                    + " must have a corresponding `tool_use` block in the previous message."
            )
        }
    }

    // MARK: Blocks

    private mutating func read(
        block: JSONValue,
        at path: String,
        into prompt: inout Prompt
    ) throws(Refusal) {
        guard let type = block["type"]?.string else { throw Refusal("\(path).type: Field required") }
        switch type {
        case "text":
            guard let text = block["text"]?.stringBytes else {
                throw Refusal("\(path).text.text: Field required")
            }
            guard !text.isEmpty else { throw Refusal("messages: text content blocks must be non-empty") }
            if version == .v20261021, role == .user, let citations = block["citations"], citations.count > 0 {
                throw Refusal("\(path).text.citations: Extra inputs are not permitted")
            }
            texts.append(String(decoding: text, as: UTF8.self))
            prompt.add(text)
        case "image": try add(source: block["source"], countingAs: Prompt.imageBytes, at: path, &prompt)
        case "document":
            guard version != .v20261021 || role == .user else {
                throw Refusal("\(path): `document` blocks can only be in `user` messages")
            }
            try add(source: block["source"], countingAs: Prompt.fileBytes, at: path, &prompt)
        case "tool_use":
            guard role == .assistant else {
                throw Refusal("\(path): `tool_use` blocks can only be in `assistant` messages")
            }
            toolCallIDs.append(try AnthropicRequest.text(block["id"], "\(path).tool_use.id"))
            _ = try AnthropicRequest.text(block["name"], "\(path).tool_use.name")
            guard let input = block["input"], input.isObject else {
                throw Refusal("\(path).tool_use.input: Input should be an object")
            }
            prompt.add(document.bytes(of: input))
        case "tool_result":
            guard role == .user else {
                throw Refusal("\(path): `tool_result` blocks can only be in `user` messages")
            }
            let id = try AnthropicRequest.text(block["tool_use_id"], "\(path).tool_result.tool_use_id")
            toolResults.append((id, try read(result: block["content"], at: "\(path).tool_result", &prompt)))
        case "thinking":
            guard let text = block["thinking"]?.string, let signature = block["signature"]?.string else {
                throw Refusal("\(path).thinking.signature: Field required")
            }
            guard signature == Generation.signature(of: text) else {
                throw Refusal("\(path): Invalid `signature` in `thinking` block")
            }
        default:
            // A kind of block this simulator has nothing to say about; it counts as its JSON.
            prompt.add(document.bytes(of: block))
        }
    }

    private func add(
        source: JSONValue?,
        countingAs count: Int,
        at path: String,
        _ prompt: inout Prompt
    ) throws(Refusal) {
        guard let source, source.isObject else { throw Refusal("\(path).source: Field required") }
        switch source["type"]?.string {
        case "base64":
            guard let data = source["data"]?.stringBytes, source["media_type"]?.isString == true else {
                throw Refusal("\(path).source.base64.data: Field required")
            }
            prompt.add(data, countingAs: count)
        case "text":
            guard let data = source["data"]?.stringBytes else {
                throw Refusal("\(path).source.text.data: Field required")
            }
            prompt.add(data)
        case nil: throw Refusal("\(path).source.type: Field required")
        default: prompt.add(document.bytes(of: source), countingAs: count)
        }
    }

    private func read(
        result content: JSONValue?,
        at path: String,
        _ prompt: inout Prompt
    ) throws(Refusal) -> String {
        guard let content, !content.isNull else { return "" }
        if let text = content.stringBytes {
            prompt.add(text)
            return String(decoding: text, as: UTF8.self)
        }
        guard content.isArray else { throw Refusal("\(path).content: Input should be a valid list") }
        var texts: [String] = []
        for block in content.elements {
            if let text = block["text"]?.stringBytes {
                prompt.add(text)
                texts.append(String(decoding: text, as: UTF8.self))
            } else if block["source"] != nil {
                try add(source: block["source"], countingAs: Prompt.imageBytes, at: path, &prompt)
                texts.append("(image)")
            } else {
                prompt.add(document.bytes(of: block))
            }
        }
        return texts.joined(separator: "\n")
    }
}
