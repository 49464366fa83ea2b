/// All that one call leaves behind for the next ones, but for their record. No clock and no chance in it.
package struct SimulatorState {
    package var faults = FaultDesk()
    package var credentials = CredentialRules()
    package var cache = PromptCache()
    package var responses = StoredResponses()
    package var credits = CreditAccounts()
    package var usage = UsageFigures()
    package var tokens = TokenDesk()
    /// Numbers calls from 1.
    private var lastSequence = 0

    package init() {}

    /// Whether a credential is good at this time, in microseconds since 1970.
    func accepts(_ credential: Credential, now: Int64) -> Bool {
        credentials.accepts(credential.secret) && !tokens.isExpired(credential.secret, now: now)
    }

    package mutating func nextSequence() -> Int {
        lastSequence &+= 1
        return lastSequence
    }
}
