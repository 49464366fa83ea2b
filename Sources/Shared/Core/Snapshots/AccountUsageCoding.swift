package import Domain
package import Formats

// What is known of how much of an account is used, as JSON: in Redis between the planes, in Postgres at rest. What a
// reader does not understand, or what makes no sense, it leaves out.

extension UsageWindow {
    package var json: JSON {
        var json: JSON = [:]
        if let used { json["used"] = .int(Int64(used)) }
        if let endsAt { json["ends_at"] = .int(endsAt.microseconds) }
        if isExhausted { json["exhausted"] = true }
        return json
    }

    package init?(_ json: JSON?) {
        guard let json, json.object != nil else { return nil }
        self.init(
            used: json["used"]?.int.flatMap { (0...1_000_000).contains($0) ? $0 : nil },
            endsAt: json["ends_at"]?.int64.flatMap { FieldReader.times.contains($0) ? $0 : nil }
                .map { Timestamp(microseconds: $0) },
            isExhausted: json["exhausted"]?.bool ?? false
        )
    }

    fileprivate static func json(_ windows: [String: UsageWindow]) -> JSON {
        .object(windows.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value.json) })
    }

    fileprivate static func all(_ json: JSON?) -> [String: UsageWindow] {
        var windows: [String: UsageWindow] = [:]
        for (name, value) in json?.object ?? [] { windows[name] = UsageWindow(value) }
        return windows
    }
}

extension AccountWindows {
    package var json: JSON {
        var json: JSON = [:]
        if let fiveHours { json["five_hours"] = fiveHours.json }
        if let sevenDays { json["seven_days"] = sevenDays.json }
        if !families.isEmpty { json["families"] = UsageWindow.json(families) }
        return json
    }

    package init(_ json: JSON?) {
        self.init(
            fiveHours: UsageWindow(json?["five_hours"]),
            sevenDays: UsageWindow(json?["seven_days"]),
            families: UsageWindow.all(json?["families"])
        )
    }
}

extension AccountUsage {
    package var json: JSON {
        var json: JSON = [:]
        if !windows.isEmpty { json["windows"] = windows.json }
        if !models.isEmpty { json["models"] = UsageWindow.json(models) }
        if let tier { json["tier"] = .string(tier) }
        if !credits.isEmpty {
            json["credits"] = .array(
                credits.map { credit in
                    var json: JSON = ["type": .string(credit.type)]
                    if let amount = credit.amount { json["amount"] = .int(amount) }
                    if let minimum = credit.minimum { json["minimum"] = .int(minimum) }
                    return json
                }
            )
        }
        return json
    }

    package init(_ json: JSON) {
        self.init(
            windows: AccountWindows(json["windows"]),
            models: UsageWindow.all(json["models"]),
            tier: json["tier"]?.string,
            credits: (json["credits"]?.array ?? []).compactMap { credit in
                credit["type"]?.string.map {
                    CreditBalance(type: $0, amount: credit["amount"]?.int64, minimum: credit["minimum"]?.int64)
                }
            }
        )
    }
}

/// What a worker has read of an account's windows in an answer's head: an event for the control plane.
package struct WindowsSample: Hashable, Sendable {
    package var account: AccountID
    /// When the answer came.
    package var at: Timestamp
    package var windows: AccountWindows
    /// Whether the answer was a success of an account whose windows of five hours begin with a call.
    package var countsForSession: Bool

    package init(account: AccountID, at: Timestamp, windows: AccountWindows, countsForSession: Bool) {
        self.account = account
        self.at = at
        self.windows = windows
        self.countsForSession = countsForSession
    }

    package static let kind = "windows"

    /// Names and values of a Redis stream's entry.
    package var fields: [(name: String, value: String)] {
        [
            ("kind", Self.kind), ("account", String(account.raw)), ("at", String(at.microseconds)),
            ("windows", windows.json.text), ("session", countsForSession ? "1" : "0"),
        ]
    }

    /// Nil for what `fields` never makes.
    package init?(fields: [String: String]) {
        guard fields["kind"] == Self.kind, let account = fields["account"].flatMap({ Int64($0) }), account > 0,
            let at = fields["at"].flatMap({ Int64($0) }), FieldReader.times.contains(at),
            let json = fields["windows"].flatMap({ try? JSON(text: $0) }), json.object != nil
        else { return nil }
        self.init(
            account: AccountID(account),
            at: Timestamp(microseconds: at),
            windows: AccountWindows(json),
            countsForSession: fields["session"] == "1"
        )
    }
}
