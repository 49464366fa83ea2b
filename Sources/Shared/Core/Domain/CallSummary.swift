/// What policy may know of a request's body.
package struct CallSummary: Hashable, Sendable {
    package var model: String
    package var isStream: Bool
    /// Where the value of `model` stands in the body, its quotes included.
    package var modelRange: Range<Int>

    package init(model: String, isStream: Bool, modelRange: Range<Int>) {
        self.model = model
        self.isStream = isStream
        self.modelRange = modelRange
    }
}
