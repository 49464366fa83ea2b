package import Reactor
package import Service

/// Where the simulator listens.
///
/// | key | value | default |
/// |---|---|---|
/// | `TOLLGATE_SIMULATOR_LISTEN` | address of HTTP/1.1 and h2c | `127.0.0.1:8090` |
/// | `TOLLGATE_SIMULATOR_TLS_LISTEN` | address of TLS, with ALPN `h2` and `http/1.1` | none |
/// | `TOLLGATE_SIMULATOR_TLS_CERT`, `TOLLGATE_SIMULATOR_TLS_KEY` | PEM files, required with the above | |
package struct SimulatorConfig: Equatable {
    package struct Secure: Equatable {
        package var address: SocketAddress
        package var certificateFile: String
        package var keyFile: String
    }

    package var address: SocketAddress?
    package var secure: Secure?

    /// Reads the configuration; faults are left in the reader.
    package init(_ reader: inout ConfigReader) {
        address = reader.address("TOLLGATE_SIMULATOR_LISTEN", default: "127.0.0.1:8090")
        guard reader.optional("TOLLGATE_SIMULATOR_TLS_LISTEN") != nil else { return }
        let address = reader.address("TOLLGATE_SIMULATOR_TLS_LISTEN", default: "")
        let certificate = reader.required("TOLLGATE_SIMULATOR_TLS_CERT", "a PEM file with the certificate chain")
        let key = reader.required("TOLLGATE_SIMULATOR_TLS_KEY", "a PEM file with the private key")
        if let address { secure = Secure(address: address, certificateFile: certificate, keyFile: key) }
    }
}
