import Glibc

/// How many files, sockets among them, the process may have open.
package enum OpenFiles {
    /// Raises the limit as far as the system lets this process: what shells and service managers set is meant for programs
    /// that use `select`, and a gateway has two sockets a call.
    package static func raiseLimit() {
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(files, &limit)
    }
}
