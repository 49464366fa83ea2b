import Formats

/// The searches of an answer of Chat Completions, which does not report them: one where it cites pages, and one for each
/// answer of the models that search before every answer (`gpt-…-search-preview`, `gpt-…-search-api`), as OpenAI bills
/// them (pricing, "Web search": by the call). More than one search for an answer cannot be known.
enum ChatSearches {
    static func count(model: JSONValue?, cites: Bool) -> Int64 { cites || alwaysSearches(model?.string ?? "") ? 1 : 0 }

    static func alwaysSearches(_ model: String) -> Bool {
        model.hasPrefix("gpt-") && (model.contains("-search-preview") || model.contains("-search-api"))
    }

    /// Whether these annotations of a message name a page.
    static func cites(_ annotations: JSONValue?) -> Bool {
        var found = false
        annotations?.forEachElement { annotation in
            if annotation["type"]?.equals("url_citation") == true { found = true }
        }
        return found
    }
}
