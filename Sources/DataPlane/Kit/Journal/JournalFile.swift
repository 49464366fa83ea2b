import Glibc

/// A call of the system that failed.
package struct JournalError: Error, CustomStringConvertible {
    package let call: StaticString
    package let code: Int32
    package let path: String

    package var description: String { "\(call) \(path): \(String(cString: strerror(code)))" }
}

/// The file of a journal and the lock of its folder. Nothing but system calls; not thread-safe, but for `sync`.
final class JournalFile {
    private static let blockBytes = 1 << 20

    private let path: String
    private let lock: Int32
    private let file: Int32

    /// Makes the folder where it is missing, and locks it: two processes must not write one journal.
    ///
    /// - Throws: `JournalError`.
    init(folder: String) throws(JournalError) {
        path = folder + "/records.journal"
        try Self.makeFolder(folder)
        lock = try Self.open(folder + "/lock")
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            Glibc.close(lock)
            throw JournalError(call: "flock", code: code, path: folder)
        }
        do {
            file = try Self.open(path)
        } catch {
            Glibc.close(lock)
            throw error
        }
        Self.syncFolder(folder)
    }

    deinit {
        close(file)
        // Last: with it the folder is another's.
        close(lock)
    }

    private static func makeFolder(_ folder: String) throws(JournalError) {
        var made = ""
        for part in folder.split(separator: "/", omittingEmptySubsequences: false) {
            made += part
            if !made.isEmpty, mkdir(made, 0o700) != 0, errno != EEXIST {
                // A folder above may be there without our being allowed to make one beside it.
                var status = stat()
                if stat(made, &status) != 0 { throw JournalError(call: "mkdir", code: errno, path: made) }
            }
            made += "/"
        }
    }

    private static func open(_ path: String) throws(JournalError) -> Int32 {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw JournalError(call: "open", code: errno, path: path) }
        return descriptor
    }

    /// So that the file's name survives a loss of power as its contents do.
    private static func syncFolder(_ folder: String) {
        let descriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        Glibc.close(descriptor)
    }

    /// - Throws: `JournalError`.
    func readAll() throws(JournalError) -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        while true {
            let count = pread(file, &block, block.count, off_t(bytes.count))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw JournalError(call: "pread", code: errno, path: path) }
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: block[..<count])
        }
    }

    /// Writes at the offset, which is the end; what is written in part is taken back.
    ///
    /// - Throws: `JournalError`.
    func write(_ bytes: [UInt8], at offset: Int) throws(JournalError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                return pwrite(file, rest.baseAddress, rest.count, off_t(offset + done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let code = count < 0 ? errno : EIO
                try? truncate(to: offset)
                throw JournalError(call: "pwrite", code: code, path: path)
            }
            done += count
        }
    }

    /// - Throws: `JournalError`.
    func truncate(to size: Int) throws(JournalError) {
        guard ftruncate(file, off_t(size)) == 0 else { throw JournalError(call: "ftruncate", code: errno, path: path) }
    }

    /// Waits until everything written before is on the disk. May be called from any thread.
    ///
    /// - Throws: `JournalError`.
    func sync() throws(JournalError) {
        guard fdatasync(file) == 0 else { throw JournalError(call: "fdatasync", code: errno, path: path) }
    }

    /// Keeps a copy of what cannot be read, for a person to look at.
    func setAside(_ bytes: ArraySlice<UInt8>, stamp: Int64) {
        let descriptor = Glibc.open("\(path).damaged-\(stamp)", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        _ = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        Glibc.close(descriptor)
    }
}
