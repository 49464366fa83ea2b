package import Formats

/// Sign-in of Claude subscriptions: JSON requests that repeat the state.
package struct AnthropicSignIn: SignIn {
    package var bodyFormat: SignInBody { .json }
    package var exchangeCarriesState: Bool { true }

    package func accountFields(in answer: JSON) -> [String: String] {
        TokenFields.field(answer["account"]?["email_address"]).map { ["email": $0] } ?? [:]
    }
}
