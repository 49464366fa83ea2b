package import Formats
package import HTTPMessages

/// The routes under `/__sim/`, by which tests arm faults and read what was received. They ask for no credential: the
/// simulator listens on loopback unless it is told otherwise.
///
/// | route | does |
/// |---|---|
/// | `GET requests?since=&limit=&credential=&bodies=0` | records with larger ids, oldest first |
/// | `DELETE requests` | forgets records and sums |
/// | `GET stats` | sums over the calls since then |
/// | `GET`, `POST`, `DELETE faults`, `DELETE faults/{id}` | armed faults; `DELETE faults` also resets the counters |
/// | `GET`, `POST credentials` | which credentials are good |
/// | `POST tokens` | how long issued tokens last, and which are over |
/// | `POST credits` | how many AI credits an account has, and its tier |
/// | `POST usage` | how much of an account is used |
/// | `POST reset` | forgets everything |
/// | `GET health` | answers |
package struct ControlAPI {
    package static let prefix = "/__sim/"
    static let bodyLimit = 1 << 20
    /// A list of records ends when it has become longer than this; `last` says where to go on.
    static let mostAnswerBytes = 32 << 20

    private let log: RequestLog
    private let parser: JSONParser

    package init(log: RequestLog, parser: JSONParser) {
        self.log = log
        self.parser = parser
    }

    package func answer(_ head: HTTPRequestHead, body: [UInt8], _ state: inout SimulatorState) -> AnswerPlan {
        let path = head.path.dropFirst(Self.prefix.count)
        switch (head.method, path) {
        case ("GET", "health"): return json { $0.member("status", "ok") }
        case ("GET", "requests"): return requests(head)
        case ("DELETE", "requests"):
            log.clear()
            return done
        case ("GET", "stats"):
            var text = JSONWriter()
            log.writeStats(to: &text)
            return plan(200, text.bytes)
        case ("GET", "faults"):
            return json { json in
                json.arrayMember("faults") { for fault in state.faults.armed { Self.write(fault, to: &$0) } }
            }
        case ("POST", "faults"): return arm(body, &state)
        case ("DELETE", "faults"):
            state.faults.clear()
            return done
        case ("GET", "credentials"): return show(state.credentials)
        case ("POST", "credentials"): return setCredentials(body, &state)
        case ("POST", "tokens"): return setTokens(body, &state)
        case ("POST", "credits"): return setCredits(body, &state)
        case ("POST", "usage"): return setUsage(body, &state)
        case ("POST", "reset"):
            log.clear()
            state.faults.clear()
            state.cache.clear()
            state.responses = StoredResponses()
            state.credits = CreditAccounts()
            state.usage = UsageFigures()
            state.tokens = TokenDesk()
            state.credentials = CredentialRules()
            return done
        default:
            if head.method == "DELETE", path.hasPrefix("faults/"), let id = Int(path.dropFirst("faults/".count)) {
                return state.faults.disarm(id: id) ? done : refuse(404, "no such fault")
            }
            return refuse(404, "no such route")
        }
    }

    // MARK: Requests

    private func requests(_ head: HTTPRequestHead) -> AnswerPlan {
        let since = head.queryValue("since").flatMap { Int($0) } ?? 0
        let limit = head.queryValue("limit").flatMap { Int($0) } ?? 1000
        guard since >= 0, (1...RequestLog.mostRecords).contains(limit) else {
            return refuse(400, "since: from 0; limit: from 1 to \(RequestLog.mostRecords)")
        }
        let records = log.records(after: since, limit: limit, credential: head.queryValue("credential"))
        let withBody = head.queryValue("bodies") != "0"
        var last = since
        return json { json in
            json.arrayMember("requests") { json in
                for record in records where json.bytes.count < Self.mostAnswerBytes {
                    record.write(to: &json, withBody: withBody)
                    last = record.id
                }
            }
            json.member("last", last)
        }
    }

    // MARK: Faults

    private func arm(_ body: [UInt8], _ state: inout SimulatorState) -> AnswerPlan {
        guard let request = try? JSON(body, with: parser), let words = request["words"]?.string else {
            return refuse(400, "a JSON object with `words` is expected")
        }
        let count = request["count"] ?? 1
        guard let count = count.int, count >= 1 else { return refuse(400, "count: a whole number from 1") }
        let credential = request["credential"] ?? .null
        let model = request["model"] ?? .null
        guard credential.isNull || credential.string != nil, model.isNull || model.string != nil else {
            return refuse(400, "credential, model: a string")
        }
        guard ControlWords(words: words) != ControlWords() else { return refuse(400, "words: none is known") }
        let fault = state.faults.arm(words, count: count, credential: credential.string, model: model.string)
        guard let fault else { return refuse(409, "too many faults are armed") }
        var text = JSONWriter()
        Self.write(fault, to: &text)
        return plan(201, text.bytes)
    }

    private static func write(_ fault: ArmedFault, to json: inout JSONWriter) {
        json.object {
            $0.member("id", fault.id)
            $0.member("words", fault.text)
            $0.member("remaining", fault.remaining)
            $0.member("credential", fault.credential)
            $0.member("model", fault.model)
        }
    }

    // MARK: Credentials

    /// `{"valid": [...]}` names the good ones, null makes any good; `{"revoked": [...]}` names bad ones;
    /// `{"aws": {"AKIA…": "…"}}` the secrets of access keys.
    private func setCredentials(_ body: [UInt8], _ state: inout SimulatorState) -> AnswerPlan {
        guard let request = try? JSON(body, with: parser), request.object != nil else {
            return refuse(400, "a JSON object is expected")
        }
        var rules = state.credentials
        if let valid = request["valid"] {
            let secrets = Self.strings(valid)
            guard valid.isNull || secrets != nil else { return refuse(400, "valid: a list of strings, or null") }
            rules.valid = secrets.map(Set.init)
        }
        if let revoked = request["revoked"] {
            guard let secrets = Self.strings(revoked) else { return refuse(400, "revoked: a list of strings") }
            rules.revoked = Set(secrets)
        }
        if let aws = request["aws"] {
            guard let members = aws.object, members.allSatisfy({ $0.value.string != nil }) else {
                return refuse(400, "aws: an object of strings")
            }
            rules.awsSecrets = Dictionary(
                members.map { ($0.key, $0.value.string ?? "") },
                uniquingKeysWith: { _, last in last }
            )
        }
        state.credentials = rules
        return show(rules)
    }

    /// `{"lifetime": 5, "rotates": false, "expired": ["…"], "lacks_projects": true}`; null is the platform's own way.
    private func setTokens(_ body: [UInt8], _ state: inout SimulatorState) -> AnswerPlan {
        guard let request = try? JSON(body, with: parser), request.object != nil else {
            return refuse(400, "a JSON object is expected")
        }
        if let lifetime = request["lifetime"] {
            guard lifetime.isNull || (0...1_000_000_000).contains(lifetime.int64 ?? -1) else {
                return refuse(400, "lifetime: seconds, or null")
            }
            state.tokens.lifetime = lifetime.int64
        }
        if let rotates = request["rotates"] { state.tokens.rotates = rotates.bool }
        if let lacks = request["lacks_projects"] { state.tokens.lacksProjects = lacks.bool ?? false }
        if let expired = request["expired"] {
            guard let tokens = Self.strings(expired) else { return refuse(400, "expired: a list of strings") }
            state.tokens.expired = Set(tokens)
        }
        return done
    }

    /// `{"credential": "…", "amount": 0, "tier": "g1-ultra-tier"}`.
    private func setCredits(_ body: [UInt8], _ state: inout SimulatorState) -> AnswerPlan {
        guard let request = try? JSON(body, with: parser), let credential = request["credential"]?.string else {
            return refuse(400, "a JSON object with `credential` is expected")
        }
        state.credits.set(credential, amount: request["amount"]?.int, tier: request["tier"]?.string)
        let (amount, tier) = (state.credits.amount(of: credential), state.credits.tier(of: credential))
        return json {
            $0.member("credential", credential)
            $0.member("amount", amount)
            $0.member("tier", tier)
        }
    }

    /// `{"credential": "…", "windows": {"five_hour": 97.5}, "remaining": 0.2, "models": {"gemini-3-pro-high": 0}}`.
    private func setUsage(_ body: [UInt8], _ state: inout SimulatorState) -> AnswerPlan {
        guard let request = try? JSON(body, with: parser), let credential = request["credential"]?.string else {
            return refuse(400, "a JSON object with `credential` is expected")
        }
        guard let windows = Self.numbers(request["windows"]), let models = Self.numbers(request["models"]) else {
            return refuse(400, "windows, models: objects of numbers")
        }
        state.usage.set(credential, windows: windows, models: models, remaining: request["remaining"]?.double)
        return done
    }

    /// The members of an object that has numbers only; none where it is missing.
    private static func numbers(_ json: JSON?) -> [String: Double]? {
        guard let json, !json.isNull else { return [:] }
        guard let members = json.object else { return nil }
        var numbers: [String: Double] = [:]
        for (name, value) in members {
            guard let number = value.double, number.isFinite else { return nil }
            numbers[name] = number
        }
        return numbers
    }

    /// The elements of a list that has strings only.
    private static func strings(_ list: JSON) -> [String]? {
        guard let elements = list.array else { return nil }
        let strings = elements.compactMap(\.string)
        return strings.count == elements.count ? strings : nil
    }

    private func show(_ rules: CredentialRules) -> AnswerPlan {
        json { json in
            if let valid = rules.valid {
                json.arrayMember("valid") { for secret in valid.sorted() { $0.string(secret) } }
            } else {
                json.null("valid")
            }
            json.arrayMember("revoked") { for secret in rules.revoked.sorted() { $0.string(secret) } }
        }
    }

    // MARK: Answers

    private var done: AnswerPlan { json { $0.member("status", "ok") } }

    private func refuse(_ status: Int, _ message: String) -> AnswerPlan {
        plan(status, JSONWriter.object { $0.member("error", message) })
    }

    private func json(_ members: (inout JSONWriter) -> Void) -> AnswerPlan { plan(200, JSONWriter.object(members)) }

    private func plan(_ status: Int, _ body: [UInt8]) -> AnswerPlan {
        AnswerPlan(status, ["content-type": "application/json"], body: body)
    }
}
