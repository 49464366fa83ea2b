package import Reactor

package enum TLSError: Error, Equatable {
    case configuration(String)
    case handshake(String)
    case certificate(String)
    case protocolViolation(String)
}

/// Settings shared by the TLS connections of one role. Made once per loop.
package final class TLSContext {
    package static func server(
        certificateChainFile: String, privateKeyFile: String, alpn: [String]
    ) throws -> TLSContext { fatalError("unimplemented") }

    /// - Parameter authorityFile: extra trust anchors in PEM, added to the system's.
    package static func client(alpn: [String], authorityFile: String? = nil) throws -> TLSContext {
        fatalError("unimplemented")
    }

    /// TLS on an accepted connection. The handshake goes on by itself; the stream can be used at once.
    package func accept(_ stream: any ByteStream) -> any ByteStream { fatalError("unimplemented") }

    /// TLS to a server, whose certificate and name are verified.
    package func connect(_ stream: any ByteStream, serverName: String, timeout: Duration) async throws -> any ByteStream {
        fatalError("unimplemented")
    }
}
