import TestSupport
import Testing

@Suite("What the data plane is made of")
struct ImportTests {
    @Test("nothing of it imports Postgres or the control plane")
    func imports() {
        let here = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let pattern = #"^[a-z @]*import +(Postgres|CPQ|ControlKit|CArgon2|Foundation)"#
        // grep answers 1 when it has read everything and found nothing, 2 when it could not read.
        #expect(runCommand(["grep", "-rqE", pattern, "/\(here)/Sources/DataPlane"]) == 1)
        #expect(runCommand(["grep", "-rqE", pattern, "/\(here)/Sources/ControlPlane/Kit"]) == 0)
    }
}
