/// Times of resets that make no sense, by their variant: they must not park an account.
///
/// | variant | says |
/// |---|---|
/// | `neg` | −60 |
/// | `huge` | more than 64 bits hold |
/// | `junk` | a word |
enum AbsurdReset {
    static func text(_ variant: String) -> String? {
        switch variant {
        case "neg": "-60"
        case "huge": "99999999999999999999"
        case "junk": "soon"
        default: nil
        }
    }
}
