import Formats

extension GeminiErrors {
    private static let validationURL =
        "https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=sim&flowName=GlifWebSignIn"
    private static let appealURL = "https://support.google.com/accounts/contact/appeal?case=sim&hl=en"

    /// The 403 answers.
    ///
    /// | variant | says |
    /// |---|---|
    /// | `validation` | `VALIDATION_REQUIRED` with `validation_url` |
    /// | `validationtext` | asks to verify the account; the URL stands in the text only, escaped as JSON allows |
    /// | `violation` | a breach of the terms, with `appeal_url` |
    /// | `violationtext`, `banned` | … in the text only; without any URL |
    /// | `suspended`, `api` | the project is suspended; its API is off |
    /// | anything else | forbidden, no more |
    func forbidden(_ variant: String) -> AnswerPlan {
        switch variant {
        case "validation":
            return plan(403, "Verify your account to continue.") { text in
                info("VALIDATION_REQUIRED", to: &text) {
                    $0.member("validation_error_message", "Verify your account to continue.")
                    $0.member("validation_url_link_text", "Verify your account")
                    $0.member("validation_url", Self.validationURL)
                }
                text.object {
                    $0.member("@type", "type.googleapis.com/google.rpc.Help")
                    $0.arrayMember("links") { text in
                        text.object {
                            $0.member("description", "Verify your account")
                            $0.member("url", Self.validationURL)
                        }
                    }
                }
            }
        case "validationtext":
            var answer = plan(403, "")
            // Written by hand: no encoder of ours escapes slashes.
            answer.body = Array(
                ("{\"error\":{\"code\":403,\"message\":\"\(Self.escaped(Self.validationText))\","
                    + "\"status\":\"PERMISSION_DENIED\"}}").utf8
            )
            return answer
        case "violation":
            return plan(403, Self.violation) { text in
                info("TOS_VIOLATION", to: &text) { $0.member("appeal_url", Self.appealURL) }
            }
        case "violationtext":
            return plan(403, Self.violationText)
        case "banned": return plan(403, "This account has been banned.")
        case "suspended":
            return plan(403, "Permission denied: Consumer 'projects/sim' has been suspended.") {
                info("CONSUMER_SUSPENDED", to: &$0) { $0.member("consumer", "projects/sim") }
            }
        case "api":
            return plan(403, "Generative Language API has not been used in project sim before or it is disabled.") {
                info("SERVICE_DISABLED", to: &$0) { $0.member("consumer", "projects/sim") }
            }
        default: return plan(403, "The caller does not have permission")
        }
    }

    /// The same in words only, as an API that passes them on says it; nil for a variant without any.
    static func text(ofForbidden variant: String) -> String? {
        switch variant {
        case "validation", "validationtext": validationText
        case "violation", "violationtext": violationText
        case "banned": "This account has been banned."
        default: nil
        }
    }

    private static let validationText = "To continue, verify your account at \(validationURL) and try again."
    private static let violationText = "\(violation) You may submit an appeal at \(appealURL)."
    private static let violation = "This service has been disabled in this account for violation of Terms of Service."

    /// Slashes and ampersands escaped, as some encoders of JSON do.
    private static func escaped(_ url: String) -> String {
        url.reduce(into: "") { text, character in
            switch character {
            case "/": text += "\\/"
            case "&": text += "\\u0026"
            default: text.append(character)
            }
        }
    }
}
