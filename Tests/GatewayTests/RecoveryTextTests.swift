import GatewayKit
import Testing

@Suite("When a call may work again, in words")
struct RecoveryTextTests {
    @Test(
        "never sooner than it is, in the unit that fits",
        arguments: [
            (-5, "in about 1 second"), (1, "in about 1 second"), (89, "in about 89 seconds"),
            (90, "in about 2 minutes"), (120, "in about 2 minutes"), (121, "in about 3 minutes"),
            (5399, "in about 90 minutes"), (5400, "in about 2 hours"), (129_599, "in about 36 hours"),
            (129_600, "in about 2 days"), (691_200, "in about 8 days"), (.max, "in about 106751991167301 days"),
        ]
    )
    func text(seconds: Int, words: String) { #expect(RecoveryText.about(seconds: seconds) == words) }
}
