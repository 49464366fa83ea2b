package import Formats

/// Sign-in of ChatGPT subscriptions. Which account the tokens are for stands in the claims of the id token.
package struct OpenAISignIn: SignIn {
    /// A refresh token that was replaced, has expired or was taken back has a code of its own.
    package var goneCodes: Set<String> {
        [
            "refresh_token_expired", "refresh_token_reused", "refresh_token_invalidated", "invalid_refresh_token",
            "token_expired", "app_session_terminated", "app_session_expired",
        ]
    }

    package func accountFields(in answer: JSON) -> [String: String] {
        guard let claims = TokenFields.claims(answer["id_token"]) else { return [:] }
        var fields: [String: String] = [:]
        fields["account_id"] = TokenFields.field(claims["https://api.openai.com/auth"]?["chatgpt_account_id"])
        fields["email"] = TokenFields.field(claims["email"])
        return fields
    }
}
