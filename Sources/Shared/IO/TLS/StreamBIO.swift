import COpenSSL
import Reactor

/// The in-memory BIO between OpenSSL and a `TLSStream`: it reads the ciphertext the stream has at hand and writes to
/// the stream below.
///
/// OpenSSL's own memory BIO would copy every byte once more in both directions and keep its largest buffer for the
/// connection's life.
enum StreamBIO {
    // Made once and only read afterwards; OpenSSL's method tables have no thread of their own.
    private nonisolated(unsafe) static let method: OpaquePointer? = {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream") else { return nil }
        BIO_meth_set_read(method) { bio, destination, count in
            guard let bio, let destination, count > 0, let stream = StreamBIO.stream(of: bio) else { return -1 }
            BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
            let taken = stream.takeCiphertext(UnsafeMutableRawBufferPointer(start: destination, count: Int(count)))
            guard taken > 0 else {
                BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
                return -1
            }
            return Int32(truncatingIfNeeded: taken)
        }
        BIO_meth_set_write(method) { bio, source, count in
            guard let bio, let source, count > 0, let stream = StreamBIO.stream(of: bio) else { return -1 }
            BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
            stream.lower.write(UnsafeRawBufferPointer(start: source, count: Int(count)))
            return count
        }
        BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
        return method
    }()

    private static func stream(of bio: OpaquePointer) -> TLSStream? {
        BIO_get_data(bio).map { Unmanaged<TLSStream>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Makes `session` read and write through `stream`, which must outlive it.
    static func attach(_ session: OpaquePointer, to stream: TLSStream) -> Bool {
        guard let method, let bio = BIO_new(method) else { return false }
        BIO_set_data(bio, Unmanaged.passUnretained(stream).toOpaque())
        BIO_set_init(bio, 1)
        // Both directions share the one reference.
        SSL_set_bio(session, bio, bio)
        return true
    }
}
