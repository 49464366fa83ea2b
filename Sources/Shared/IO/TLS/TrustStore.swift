import COpenSSL
import Synchronization

/// The certificates that server certificates are traced back to.
///
/// Reading the system's takes tens of milliseconds and a megabyte, so each set is read once and shared by all loops:
/// OpenSSL locks and counts references to it.
struct TrustStore: @unchecked Sendable {
    private let raw: OpaquePointer

    private static let loaded = Mutex<[String: TrustStore]>([:])

    /// The system's trust anchors and those of a PEM file.
    ///
    /// - Throws: `TLSError.configuration`.
    static func shared(adding authorityFile: String?) throws -> TrustStore {
        try loaded.withLock { loaded in
            let key = authorityFile ?? ""
            if let known = loaded[key] { return known }
            let store = try TrustStore(adding: authorityFile)
            loaded[key] = store
            return store
        }
    }

    private init(adding authorityFile: String?) throws {
        ERR_clear_error()
        guard let raw = X509_STORE_new() else { throw TLSError.configuration(ErrorQueue.takeReason()) }
        self.raw = raw
        guard X509_STORE_set_default_paths(raw) == 1 else {
            X509_STORE_free(raw)
            throw TLSError.configuration("system trust: \(ErrorQueue.takeReason())")
        }
        if let authorityFile, X509_STORE_load_file(raw, authorityFile) != 1 {
            X509_STORE_free(raw)
            throw TLSError.configuration("authority file: \(ErrorQueue.takeReason())")
        }
        ERR_clear_error()
    }

    func use(in context: OpaquePointer) { SSL_CTX_set1_cert_store(context, raw) }
}
