import Crypto
import Formats

/// What a request may say of a proxy. Pure.
package enum ProxyForm {
    package static var form: Form<ProxyDraft> {
        Form(
            [
                .required("name", \.name, .text(1...100)),
                .required("protocol", \.scheme, .choice(ProxyProtocol.allCases)),
                .required("host", \.host, ValueKind<String>.text(1...253).checked { UpstreamURL.hostFault(in: $0) }),
                .required("port", \.port, .integer(1...65_535)),
                .optional("username", \.username, ValueKind<String>.text(1...200).orNil, default: nil),
                .optional("password", \.password, ValueKind<String>.secret(1...500).orNil, default: nil),
            ],
            readOnly: ProxyView.view.names
        )
    }

    /// A password sent as the mask means the stored one; `hasPassword` says whether there is one.
    package static func faults(_ draft: ProxyDraft, hasPassword: Bool) -> [FieldFault] {
        draft.password == Secret.mask && !hasPassword
            ? [FieldFault("password", "is a mask, but there is no stored secret behind it")] : []
    }
}
