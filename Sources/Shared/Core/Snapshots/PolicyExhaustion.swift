package import Domain
import Formats

/// What a worker tells the control plane when a key's policy is exhausted: an entry `e` of the partition's usage stream.
package struct PolicyExhaustion: Hashable, Sendable {
    package var key: KeyID
    package var user: UserID
    package var version: Int64
    package var resetEpoch: Int64
    /// What the policy allowed then; nil where the worker does not say.
    package var quota: NanoUSD?
    /// When the exhausted window began, in milliseconds since 1970.
    package var window: Int64
    /// What a call wanted that could not fit; 0 where the quota was used up, nil where the worker does not say.
    package var wanted: NanoUSD?

    /// How a word on a key begins, whatever it says.
    package static func opening(_ key: KeyID) -> String { #"{"key":\#(key),"# }

    /// Everything up to the window, which a script adds with the closing.
    package static func opening(_ key: KeyID, _ user: UserID, _ policy: KeyPolicy) -> String {
        opening(key) + #""user":\#(user),"version":\#(policy.version),"epoch":\#(policy.resetEpoch),"#
            + #""quota":\#(policy.quota.raw),"window":"#
    }

    /// What follows the window where the quota is used up.
    package static let closing = #","wanted":0}"#

    /// Nil for a text that is none.
    package init?(_ text: [UInt8]) {
        guard let json = try? JSON(text), let key = json["key"]?.int64, let user = json["user"]?.int64,
            let version = json["version"]?.int64, let epoch = json["epoch"]?.int64, let window = json["window"]?.int64,
            FrozenLimits.windows.contains(window)
        else { return nil }
        self.key = KeyID(key)
        self.user = UserID(user)
        self.version = version
        resetEpoch = epoch
        quota = json["quota"]?.int64.map { NanoUSD($0) }
        self.window = window
        wanted = json["wanted"]?.int64.map { NanoUSD($0) }
    }
}
