import HTTPMessages

/// The header fields of Google's answers.
enum GeminiHeaders {
    static func fields(contentType: String) -> HeaderFields {
        var fields = HeaderFields.edge(contentType: contentType, server: "scaffolding on HTTPServer2")
        fields.add("vary", "Origin, X-Origin, Referer")
        fields.add("x-xss-protection", "0")
        fields.add("x-frame-options", "SAMEORIGIN")
        fields.add("x-content-type-options", "nosniff")
        fields.add("server-timing", "gfet4t7; dur=17")
        return fields
    }
}
