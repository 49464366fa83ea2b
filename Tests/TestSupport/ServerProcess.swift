import Glibc
import Reactor
import Synchronization

/// Why a server of a test could not be started.
package struct ServerLaunchError: Error, CustomStringConvertible {
    package let description: String
}

/// A server program that a test runs: it can be frozen, killed and started again, and is gone when the test process is.
package final class ServerProcess: Sendable {
    private let command: [String]
    private let logFile: String
    private let readyText: String
    private let lastSignal: LastSignal

    struct LastSignal: Sendable {
        let name: String
        let number: Int32
        static let kill = Self(name: "KILL", number: SIGKILL)
        static let quit = Self(name: "QUIT", number: SIGQUIT)
    }

    private struct State {
        var pid: pid_t = 0
        var starts = 0
    }
    private let state = Mutex(State())

    /// Prepares the server; `start` runs it.
    ///
    /// - Parameters:
    ///   - command: a program that stays in the foreground and logs to its output, kept in `folder` as `log`.
    ///   - user: the account to run as when we are root.
    ///   - lastSignal: ends the server and all of its processes at once. It also gets it when the thread that started
    ///     it ends, so start it on a thread that lives as long as the process: `offMainThread`.
    ///   - readyText: a line with this text says that the server serves.
    init(_ command: [String], folder: String, asUser user: String? = nil, lastSignal: LastSignal, readyText: String) {
        self.command = asAccount(user, deathSignal: lastSignal.name) + command
        self.readyText = readyText
        self.lastSignal = lastSignal
        logFile = folder + "/log"
    }

    deinit { end(lastSignal.number) }

    package var pid: Int32 { state.withLock { $0.pid } }
    package var log: String { readText(logFile) }

    /// Runs the server and blocks until it is ready, it ended, or twenty seconds passed.
    func start() throws {
        let starts = try state.withLock { state in
            precondition(state.pid == 0, "the server runs already")
            state.pid = try spawn(command, output: logFile)
            state.starts += 1
            return state.starts
        }
        for _ in 0..<4_000 {
            if log.split(separator: "\n").count(where: { $0.contains(readyText) }) >= starts { return }
            guard isRunning else { break }
            usleep(5_000)
        }
        end(lastSignal.number)
        throw ServerLaunchError(description: "not ready: \(command): \(log.suffix(800))")
    }

    private var isRunning: Bool {
        state.withLock { state in
            guard state.pid > 0, waitpid(state.pid, nil, WNOHANG) == 0 else {
                state.pid = 0
                return false
            }
            return true
        }
    }

    func signal(_ number: Int32) {
        state.withLock { if $0.pid > 0 { _ = kill($0.pid, number) } }
    }

    /// Sends the signal and blocks until the server has ended.
    func end(_ number: Int32) {
        state.withLock { state in
            guard state.pid > 0 else { return }
            kill(state.pid, number)
            // A frozen process handles nothing but SIGKILL.
            kill(state.pid, SIGCONT)
            waitpid(state.pid, nil, 0)
            state.pid = 0
        }
    }
}

/// A folder under `/tmp` that is removed when it is released, or when the process ends.
package final class TemporaryFolder: Sendable {
    package let path: String
    private static let live = Mutex<Set<String>>([])

    /// - Parameter owner: the account that gets the folder when we are root.
    package init(_ name: String, owner: String? = nil) throws {
        path = try makeTemporary("tollgate-\(name)-XXXXXX") { mkdtemp($0) != nil }
        if let owner, getuid() == 0, let account = getpwnam(owner) {
            chown(path, account.pointee.pw_uid, account.pointee.pw_gid)
        }
        Self.live.withLock { live in
            if live.isEmpty { atexit { TemporaryFolder.removeAll() } }
            live.insert(path)
        }
    }

    deinit {
        Self.live.withLock { _ = $0.remove(path) }
        try? runProgram(["rm", "-rf", path])
    }

    private static func removeAll() {
        for path in live.withLock({ $0 }) { try? runProgram(["rm", "-rf", path]) }
    }

    package func write(_ text: String, to name: String) throws {
        guard let file = fopen(path + "/" + name, "w") else {
            throw ServerLaunchError(description: "\(name): errno \(errno)")
        }
        fputs(text, file)
        fclose(file)
    }
}

/// Runs blocking work on one of four threads kept for that: away from the threads that run tests, and from libuv's
/// pool, which looks names up for the code under test.
package func offMainThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    let turn = Launchers.turn.wrappingAdd(1, ordering: .relaxed).newValue
    let loops = try Launchers.loops.get()
    let loop = loops[Int(turn % UInt(loops.count))]
    let result = await withCheckedContinuation { continuation in
        loop.execute { continuation.resume(returning: Result { try work() }) }
    }
    return try result.get()
}

private enum Launchers {
    static let turn = Atomic<UInt>(0)
    static let loops = Result { try (0..<4).map { try LoopThread(name: "launcher \($0)").loop } }
}

/// Whether a program can be run: an absolute path, or a name found in PATH.
package func isInstalled(_ program: String) -> Bool {
    if program.hasPrefix("/") { return access(program, X_OK) == 0 }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
    return path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
}

/// The words before a command that runs it as another account, when we are root.
func asAccount(_ user: String?, deathSignal: String = "keep") -> [String] {
    var words = ["setpriv", "--pdeathsig", deathSignal]
    if let user, getuid() == 0 { words += ["--reuid", user, "--regid", user, "--init-groups"] }
    return words
}

/// Runs a program to its end, blocking.
///
/// - Throws: `ServerLaunchError` with its output when it fails.
func runProgram(_ command: [String]) throws {
    let output = try makeTemporary("tollgate-output-XXXXXX") { template in
        let descriptor = mkstemp(template)
        return close(descriptor) == 0
    }
    defer { unlink(output) }
    let pid = try spawn(command, output: output)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    guard status == 0 else { throw ServerLaunchError(description: "\(command): \(readText(output))") }
}

private func makeTemporary(_ pattern: String, _ make: (UnsafeMutablePointer<CChar>) -> Bool) throws -> String {
    guard let template = strdup("/tmp/" + pattern) else { throw ServerLaunchError(description: "out of memory") }
    defer { free(template) }
    guard make(template) else { throw ServerLaunchError(description: "\(pattern): errno \(errno)") }
    return String(cString: template)
}

private func spawn(_ command: [String], output: String) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o666)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    // A server that inherits the test's own files, such as the pipe to `swift test`, keeps them open.
    for descriptor in 3..<Int32(256) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    var pid: pid_t = 0
    let code = posix_spawnp(&pid, command[0], &actions, nil, &arguments, environ)
    guard code == 0 else { throw ServerLaunchError(description: "\(command[0]): errno \(code)") }
    return pid
}

func readText(_ path: String) -> String { String(decoding: readBytes(path), as: UTF8.self) }

func readBytes(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
}

/// A TCP port of loopback that was free a moment ago, and none of those that the system hands out to who asks for any:
/// a server that is killed and started again finds it free.
package func freePort() throws -> UInt16 {
    for _ in 0..<100 {
        let port = UInt16.random(in: 10_000..<30_000)
        if isFree(port) { return port }
    }
    throw ServerLaunchError(description: "no free port")
}

private func isFree(_ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}
