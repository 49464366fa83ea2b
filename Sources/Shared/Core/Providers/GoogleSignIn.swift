import Formats

/// What the sign-ins of Google's platforms share.
enum GoogleSignIn {
    /// Without these Google gives no refresh token, or only at the first sign-in of all.
    static let parameters: [(name: String, value: String)] = [("access_type", "offline"), ("prompt", "consent")]

    static func accountFields(in answer: JSON) -> [String: String] {
        TokenFields.field(TokenFields.claims(answer["id_token"])?["email"]).map { ["email": $0] } ?? [:]
    }
}
