import Glibc
import Synchronization

/// Runs a command and waits for it; its output goes nowhere.
///
/// - Returns: its exit status, -1 when it could not be started.
package func runCommand(_ arguments: [String]) -> Int32 {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 0...2 {
        posix_spawn_file_actions_addopen(&actions, Int32(descriptor), "/dev/null", O_RDWR, 0)
    }
    var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for argument in list { free(argument) } }
    var child: pid_t = 0
    guard let name = arguments.first, posix_spawnp(&child, name, &actions, nil, &list, environ) == 0 else { return -1 }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 {
        guard errno == EINTR else { return -1 }
    }
    return status & 0x7f == 0 ? (status >> 8) & 0xff : -1
}

/// Certificates made when a test needs them, with the `openssl` command: no key rests in the repository.
package struct TestCertificates: Sendable {
    package struct Pair: Sendable {
        package let certificate: String
        package let key: String
    }
    /// What has signed `server` and `expired`.
    package let authority: Pair
    /// For `localhost`, `*.test.example` and `127.0.0.1`.
    package let server: Pair
    /// For `localhost`, since yesterday no more.
    package let expired: Pair
    /// For another name.
    package let stranger: Pair

    package enum Failure: Error { case command([String]) }

    private static let made = Mutex<TestCertificates?>(nil)

    /// The process' own set, made on first use.
    package static func shared() throws -> TestCertificates {
        try made.withLock { made in
            if let made { return made }
            let new = try TestCertificates()
            made = new
            return new
        }
    }

    private init() throws {
        var template = Array("/tmp/tollgate-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure.command(["mkdtemp"]) }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        func pair(_ name: String) -> Pair { Pair(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key") }
        func run(_ arguments: [String]) throws {
            guard runCommand(arguments) == 0 else { throw Failure.command(arguments) }
        }
        let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        authority = pair("authority")
        let authority = authority
        try run(
            ["openssl", "req", "-x509"] + newKey + [
                "-keyout", authority.key, "-out", authority.certificate, "-subj", "/CN=Test authority", "-days", "2",
            ]
        )
        func issue(_ name: String, names: String) throws -> Pair {
            let made = pair(name)
            try run(
                ["openssl", "req", "-x509"] + newKey + [
                    "-keyout", made.key, "-out", made.certificate, "-subj", "/CN=\(name)", "-days", "1",
                    "-CA", authority.certificate, "-CAkey", authority.key,
                    "-addext", "basicConstraints=CA:FALSE", "-addext", "subjectAltName=\(names)",
                ]
            )
            return made
        }
        server = try issue("server", names: "DNS:localhost,DNS:*.test.example,IP:127.0.0.1")
        stranger = try issue("stranger", names: "DNS:elsewhere.example")
        expired = pair("expired")
        let request = "\(folder)/expired.csr"
        try run(
            ["openssl", "req", "-new"] + newKey + [
                "-keyout", expired.key, "-out", request, "-subj", "/CN=expired",
                "-addext", "subjectAltName=DNS:localhost",
            ]
        )
        try run([
            "openssl", "x509", "-req", "-in", request, "-out", expired.certificate, "-days", "-1",
            "-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial", "-copy_extensions", "copyall",
        ])
    }
}
