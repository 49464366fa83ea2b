import Decisions
import Testing

@Suite("Origins of web pages")
struct WebOriginTests {
    @Test(
        "an origin is a scheme, a host and perhaps a port",
        arguments: [
            ("https://a.example", true), ("http://localhost:3000", true), ("https://[::1]:8443", true), ("", false),
            ("*", false), ("a.example", false), ("https://", false), ("https://a.example/", false),
            ("https://u@a.example", false), ("ftp://a.example", false), ("null", false), ("https://*.a.example", false),
        ]
    )
    func texts(text: String, isFine: Bool) { #expect(WebOrigin.isValid(text) == isFine) }
}
