import Domain
import HTTPMessages

/// Paths and queries of Google's model methods, as Gemini, Antigravity and their like have them.
enum GooglePaths {
    static func method(_ call: UpstreamCall) -> String {
        switch call.action {
        case .countTokens: ":countTokens"
        case .generate, .embed: call.isStream ? ":streamGenerateContent" : ":generateContent"
        }
    }

    /// `/v1beta/models/gemini-2.5-pro:generateContent`
    static func path(_ version: String, _ call: UpstreamCall) -> String {
        version + "/models/" + PercentCoding.encode(call.model) + method(call)
    }

    /// The caller's query without its key; streams are always asked for as events.
    static func query(of call: UpstreamCall) -> Substring {
        var pairs: [Substring] = call.isStream ? ["alt=sse"] : []
        if !call.isTranslated {
            pairs += call.callerQuery.split(separator: "&").filter { pair in
                let name = PercentCoding.decodeForm(pair.prefix { $0 != "=" })
                return name != "key" && name != "alt"
            }
        }
        return pairs.joined(separator: "&")[...]
    }
}
