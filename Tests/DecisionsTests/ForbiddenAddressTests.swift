import Decisions
import Testing

@Suite("Forbidden addresses")
struct ForbiddenAddressTests {
    @Test(
        "link-local and metadata addresses are forbidden in all their forms",
        arguments: [
            "169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200",
            "192.0.0.192", "2002:a9fe:a9fe::1", "64:ff9b::169.254.169.254", "0.0.0.0", "::",
        ]
    )
    func forbidden(text: String) throws {
        #expect(ForbiddenAddresses.contains(try #require(IPAddress.parse(text)).bytes))
    }

    @Test("others are not", arguments: ["127.0.0.1", "10.0.0.1", "169.253.1.1", "::1", "fd00::1", "2606:4700::1"])
    func allowed(text: String) throws {
        #expect(!ForbiddenAddresses.contains(try #require(IPAddress.parse(text)).bytes))
    }
}
