package import Dialects
package import Domain

/// What an answer of Google means for the call.
package enum GoogleVerdicts {
    package static func verdict(status: Int, _ error: UpstreamErrorBody?) -> UpstreamVerdict {
        let message = error?.message ?? ""
        return switch status {
        // How it refuses a key.
        case 400
        where StatusVerdicts.says("api key not valid", message) || StatusVerdicts.says("api key expired", message):
            UpstreamVerdict(.failover, reason: "credential_rejected")
        case 400 where StatusVerdicts.says("invalid project resource name", message):
            UpstreamVerdict(.failover, reason: "invalid_project")
        default: StatusVerdicts.verdict(status: status, isModelMissing: error?.type == "NOT_FOUND")
        }
    }
}
