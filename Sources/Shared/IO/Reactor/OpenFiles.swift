import Glibc

/// How many files, sockets among them, the process may have open.
package enum OpenFiles {
    /// Raises the limit as far as the system lets this process: what shells and service managers set is meant for programs
    /// that use `select`, and a gateway has two sockets a call.
    ///
    /// - Returns: the limit from now on.
    @discardableResult
    package static func raiseLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            var wanted = limit
            wanted.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &wanted) == 0 { limit = wanted }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
