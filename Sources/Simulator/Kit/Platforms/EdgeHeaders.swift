import HTTPMessages

extension HeaderFields {
    /// The header fields that the network in front of an API adds. Some of them are there because a gateway must not
    /// let them through.
    static func edge(contentType: String, server: String = "cloudflare") -> HeaderFields {
        var fields = HeaderFields()
        fields.reserve(bytes: 1024, fields: 24)
        fields.add("content-type", contentType)
        fields.add("server", server)
        fields.add("set-cookie", "_cfuvid=sim; path=/; HttpOnly; Secure")
        fields.add("alt-svc", "h3=\":443\"; ma=86400")
        if server == "cloudflare" { fields.add("cf-cache-status", "DYNAMIC") }
        if contentType.hasPrefix("text/event-stream") { fields.add("cache-control", "no-cache") }
        return fields
    }
}
