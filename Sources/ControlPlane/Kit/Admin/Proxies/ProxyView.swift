import Crypto
import Domain
import Formats

/// A proxy in answers: its password masked.
package enum ProxyView {
    package static var view: View<ProxyRecord> {
        View([
            .init("id", Schema.id) { .int($0.id.raw) },
            .init("name", Schema.text) { .string($0.fields.name) },
            .init("protocol", Schema.choice(ProxyProtocol.allCases.map(\.rawValue))) {
                .string($0.fields.scheme.rawValue)
            },
            .init("host", Schema.text) { .string($0.fields.host) },
            .init("port", Schema.integer) { .int($0.fields.port) },
            .init("username", Schema.text.nullable) { $0.fields.username.map { .string($0) } ?? .null },
            .init("password", Schema.text.nullable) { $0.sealedPassword == nil ? .null : .string(Secret.mask) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("updated_at", Schema.time) { .time($0.updatedAt) },
        ])
    }
}
