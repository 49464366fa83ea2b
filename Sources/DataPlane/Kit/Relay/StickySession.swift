package import Dialects
package import Domain
package import Reactor
import Redis

/// A call's session while an account is chosen for it: what it is bound to, and what becomes of that.
package final class StickySession {
    private enum State {
        /// Redis is being asked. Next: `free`, `bound`.
        case unknown
        /// Next: `binding`.
        case free
        /// An account has been proposed, and Redis not answered yet. Next: `bound`, `free`.
        case binding
        /// Next: `free` (it cannot serve), `left`.
        case bound(AccountID)
        /// It was full for too long: this call goes elsewhere, the binding stays for the next one.
        case left
    }
    private var state = State.unknown
    private let store: SessionStore
    package let group: GroupID
    private var name: SessionName?
    /// What the likely name of a conversation is bound to.
    private var likely: AccountID?
    /// While somebody waits for what Redis says.
    private var answered: Promise<Void>?
    private var proposal: Promise<AccountID?>?
    /// Since when the bound account is known to be full.
    package private(set) var fullSince: MonotonicTime?
    /// What else kept the call from it.
    package private(set) var refusal: SkipReason?

    private init(_ store: SessionStore, _ group: GroupID) {
        self.store = store
        self.group = group
    }

    /// Asks Redis what a session is bound to. What is sent in the same turn goes with it; the answer is there before the
    /// one to anything that is sent after this.
    package static func lookUp(
        _ session: CallSession,
        _ key: KeyID,
        _ group: GroupID,
        _ store: SessionStore
    ) -> StickySession {
        let sticky = StickySession(store, group)
        switch session {
        case .named(let name): sticky.find(name)
        case .turns(let chain): sticky.find(chain, key)
        }
        return sticky
    }

    private func find(_ name: SessionName) {
        self.name = name
        store.bound(name, group) { [self] in found(SessionStore.account($0)) }
    }

    /// Both questions leave together: the likely name is hardly ever another one.
    private func find(_ chain: DigestChain, _ key: KeyID) {
        name = chain.likelyName
        store.bound(chain.likelyName, group) { [self] in likely = SessionStore.account($0) }
        store.session(of: chain, key, group) { [self] answer in
            let name = SessionStore.session(answer) ?? chain.name
            if name == self.name { found(likely) } else { find(name) }
        }
    }

    private func found(_ account: AccountID?) {
        state = account.map { .bound($0) } ?? .free
        answered?.succeed(())
    }

    /// Waits until Redis has said what the session is bound to; hardly ever any longer than admission took.
    package func ready() async {
        guard case .unknown = state else { return }
        let promise = Promise<Void>()
        answered = promise
        try? await promise.wait()
    }

    /// The account that the call is to go to if it can.
    package var account: AccountID? {
        if case .bound(let account) = state { account } else { nil }
    }

    // MARK: What becomes of it

    /// The bound account was waited for long enough.
    package func leave() {
        if case .bound = state { state = .left }
    }

    /// An account cannot serve this call: a session that is bound to it is free again.
    package func cannotServe(_ account: AccountID) {
        guard case .bound(account) = state, let name else { return }
        state = .free
        fullSince = nil
        refusal = nil
        store.unbind(name, group, from: account)
    }

    /// An account did not let the call in: where the session was to be bound to it, it is not; where it is bound and the
    /// account full, that is waited for.
    package func wasRefused(by account: AccountID, _ reason: SkipReason) async {
        if await outcome() == account { return cannotServe(account) }
        guard self.account == account else { return }
        if reason != .full {
            refusal = reason
        } else if fullSince == nil {
            fullSince = .now
        }
    }

    /// An account is about to be asked for a slot: a free session is bound to it with the same flush.
    package func propose(_ account: AccountID) {
        guard case .free = state, let name else { return }
        state = .binding
        let proposal = Promise<AccountID?>()
        self.proposal = proposal
        store.bind(name, group, to: account) { proposal.succeed($0) }
    }

    /// What became of the proposal: the account that the session is bound to, which is another one where another call of
    /// the session was first. Nil when nothing was proposed.
    package func outcome() async -> AccountID? {
        guard let proposal, case .binding = state else { return nil }
        self.proposal = nil
        let account = (try? await proposal.wait()) ?? nil
        state = account.map { .bound($0) } ?? .free
        return account
    }
}
