extension StringProtocol {
    /// The beginning of what a caller wrote, for a message: answers and logs stay short. A character may be of any length,
    /// a scalar may not.
    package func shown(_ scalars: Int) -> String { String(String.UnicodeScalarView(unicodeScalars.prefix(scalars))) }
}
