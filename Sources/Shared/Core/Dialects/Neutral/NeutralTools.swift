/// A function that the caller runs.
package struct NeutralTool: Hashable, Sendable {
    package var name: String
    package var description: String?
    /// A JSON schema, as it came; nil is a function without parameters.
    package var parameters: RawJSON?
    package var isStrict: Bool?
    package var cache: NeutralCacheMark?

    package init(
        name: String,
        description: String? = nil,
        parameters: RawJSON? = nil,
        isStrict: Bool? = nil,
        cache: NeutralCacheMark? = nil
    ) {
        self.name = name
        self.description = description
        self.parameters = parameters
        self.isStrict = isStrict
        self.cache = cache
    }
}

/// A tool that the upstream runs itself.
package enum NeutralServerTool: Hashable, Sendable {
    case webSearch(NeutralWebSearch)
    /// Gemini `codeExecution`, Anthropic `code_execution`, OpenAI `code_interpreter`.
    case codeExecution
}

package struct NeutralWebSearch: Hashable, Sendable {
    package var maximumUses: Int64?
    package var allowedDomains: [String] = []
    package var blockedDomains: [String] = []
    /// ISO country, region, city, IANA time zone: an object in the form that Anthropic and OpenAI share.
    package var userLocation: NeutralUserLocation?

    package init() {}
}

package struct NeutralUserLocation: Hashable, Sendable {
    package var city: String?
    package var region: String?
    package var country: String?
    package var timeZone: String?

    package init() {}
}

package enum NeutralToolChoice: Hashable, Sendable {
    case auto
    /// Some tool must be called.
    case any
    case none
    case named(String)
}
