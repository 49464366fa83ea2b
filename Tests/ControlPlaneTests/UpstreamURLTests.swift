import Testing

@testable import ControlKit

@Suite("URLs that an admin may enter")
struct UpstreamURLTests {
    @Test(
        "ordinary URLs pass, loopback and private networks among them",
        arguments: [
            "https://api.anthropic.com", "https://api.anthropic.com/", "http://127.0.0.1:8090", "http://localhost/v1",
            "http://[::1]:9000/x", "HTTPS://Example.COM:443/a/b", "http://10.1.2.3", "http://xn--bcher-kva.example",
            "https://my_host.internal.", "http://169.253.255.255", "http://[fec0::1]",
        ]
    )
    func passes(_ url: String) { #expect(UpstreamURL.fault(in: url) == nil) }

    @Test(
        "link-local and metadata addresses are refused in every notation",
        arguments: [
            "http://169.254.169.254", "http://169.254.169.254:80/latest/meta-data", "http://169.254.0.1",
            "http://2852039166/", "http://0xa9fea9fe", "http://0251.0376.0251.0376", "http://169.254.43518",
            "http://169.254.169.254.", "http://[fe80::1]", "http://[FEBF::1]", "http://[fd00:ec2::254]",
            "http://[::ffff:169.254.169.254]", "http://[::ffff:a9fe:a9fe]", "http://[64:ff9b::a9fe:a9fe]",
            "http://metadata.google.internal", "http://METADATA.google.internal.", "http://metadata.google.internal/x",
            "http://100.100.100.200", "http://0.0.0.0", "http://[::]", "http://0",
        ]
    )
    func refusesMetadata(_ url: String) {
        #expect(UpstreamURL.fault(in: url) == "must not be a link-local or cloud metadata address")
    }

    @Test(
        "what is not a plain http(s) URL is refused",
        arguments: [
            "", "api.anthropic.com", "ftp://x", "file:///etc/passwd", "gopher://x", "javascript:alert(1)", "http://",
            "http:///x", "http://user:secret@host", "http://host:0", "http://host:65536", "http://host:x",
            "http://host:",
            "http://a b", "http://host\\@evil", "http://host#x", "http://host?x", "http://-a.example", "http://a..b",
            "http://[::1", "http://[zz]", "http://[::1]x", "http://1.2.3.4.5", "http://0x7f.1.2.3.4", "http://h\u{e9}",
        ]
    )
    func refuses(_ url: String) { #expect(UpstreamURL.fault(in: url) != nil) }
}
