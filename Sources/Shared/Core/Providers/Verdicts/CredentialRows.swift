import Domain

/// What a 401 means for credentials that can be replaced, and for those that cannot.
enum CredentialRows {
    static func unauthorized(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        switch context.accountType {
        case .apikey, .bedrock: .error(.credentialRejected, answer)
        case .oauth, .setupToken: token(answer, context)
        }
    }

    /// One 401 counts for each version of the credentials: many calls in flight on one stale token are one 401.
    private static func token(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        let credential = context.credential
        guard credential.version >= credential.currentVersion else {
            return UpstreamVerdict(.failover, .credentialStale)
        }
        guard credential.hasRefreshToken else { return .error(.credentialRejected, answer) }
        if let counted = credential.counted, credential.version >= counted.version {
            // Sent before the pause's end, so in flight together with the one that counted.
            if credential.version == counted.version, context.startedAt < counted.pausedUntil {
                return UpstreamVerdict(.failover, .credentialStale)
            }
            return .error(.credentialRejectedAgain, answer)
        }
        let end = context.now + context.cooldowns.unauthorized
        return UpstreamVerdict(
            .failover,
            .credentialRejected,
            [
                .invalidateToken(version: credential.version),
                .countUnauthorized(version: credential.version, pausedUntil: end),
                .paused(until: end, .unauthorized, reason: ErrorText.kept(answer)),
            ]
        )
    }
}
