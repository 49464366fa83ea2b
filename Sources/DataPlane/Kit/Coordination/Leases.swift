/// How long what a call holds in Redis outlives its worker, and how often it is renewed.
package enum Leases {
    package static let duration = Duration.seconds(30)
    package static let renewal = Duration.seconds(10)
    static let durationText = String(duration.components.seconds * 1000)
    /// A record resent within this time is recognised.
    static let doneMarkerSeconds = "900"
}
