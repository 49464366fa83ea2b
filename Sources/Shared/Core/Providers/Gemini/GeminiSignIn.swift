package import Formats

/// Sign-in of Gemini logins, which are Google accounts. The refresh token stays the same when it is used.
package struct GeminiSignIn: SignIn {
    package var authorizeParameters: [(name: String, value: String)] { GoogleSignIn.parameters }

    package func accountFields(in answer: JSON) -> [String: String] { GoogleSignIn.accountFields(in: answer) }
}
