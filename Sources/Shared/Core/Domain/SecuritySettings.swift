/// The setting `security` as far as workers enforce it.
package struct SecuritySettings: Hashable, Sendable {
    /// Addresses and CIDR ranges of proxies whose `X-Forwarded-For` is believed.
    package var trustedProxies: [String]
    /// Origins (`https://app.example:8443`) of pages that may call from a browser, or `*` for all.
    package var corsOrigins: [String]

    package init(trustedProxies: [String] = [], corsOrigins: [String] = []) {
        self.trustedProxies = trustedProxies
        self.corsOrigins = corsOrigins
    }
}
