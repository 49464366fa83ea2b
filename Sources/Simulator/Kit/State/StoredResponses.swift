/// What `/v1/responses` keeps of an answer.
package struct StoredResponse: Sendable {
    /// The credential that may have it.
    var owner: String
    /// The answer, as it was sent.
    var body: [UInt8]
    /// Calls that wait for their outputs.
    var openCalls: [String]
    /// Bytes of the prompt and of the answer.
    var promptBytes: Int
}

/// The last answers of `/v1/responses`, by id.
package struct StoredResponses: Sendable {
    private static let mostResponses = 1_000
    private var stored: [String: StoredResponse] = [:]
    private var order: [String] = []

    package init() {}

    subscript(_ id: String, owner owner: String) -> StoredResponse? {
        stored[id].flatMap { $0.owner == owner ? $0 : nil }
    }

    mutating func store(_ response: StoredResponse, as id: String) {
        if stored.updateValue(response, forKey: id) == nil { order.append(id) }
        guard order.count > Self.mostResponses else { return }
        for id in order.prefix(Self.mostResponses / 2) { stored[id] = nil }
        order.removeFirst(Self.mostResponses / 2)
    }

    mutating func remove(_ id: String) {
        stored[id] = nil
        order.removeAll { $0 == id }
    }
}
