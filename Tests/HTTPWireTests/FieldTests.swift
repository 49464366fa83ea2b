import CNGHTTP2
import HTTPMessages
import HTTPWire
import Testing

@Suite("Fields on the wire")
struct FieldTests {
    @Test("every byte is judged as the grammar says, wherever it stands and whatever stands beside it")
    func values() {
        for length in [1, 7, 8, 9, 16, 23] {
            for byte in UInt8.min...UInt8.max {
                let isAllowed = byte == 9 || (byte >= 0x20 && byte != 0x7f)
                for place in 0..<length {
                    for filler in [UInt8(ascii: "a"), 0x20, 0x09, 0x80, 0xff] {
                        var bytes = [UInt8](repeating: filler, count: length)
                        bytes[place] = byte
                        let verdict = bytes.withUnsafeBytes { FieldRules.isValue($0) }
                        if verdict != isAllowed { Issue.record("\(byte) at \(place) of \(length) among \(filler)") }
                    }
                }
            }
        }
        #expect([UInt8]().withUnsafeBytes { FieldRules.isValue($0) })
    }

    @Test("fields are found by name, kept in order, changed and counted")
    func headerFields() {
        var fields: HeaderFields = ["Content-Type": "a", "x": "", "Set-Cookie": "1", "set-cookie": "2"]
        #expect(fields.count == 4)
        #expect(fields.byteCount == "content-typeaxset-cookie1set-cookie2".utf8.count)
        #expect(fields["content-type"] == "a")
        #expect(fields[String("x")] == "")
        #expect(fields["content-typ"] == nil)
        #expect(fields.values("set-cookie") == ["1", "2"])
        #expect(fields.withValue("set-cookie") { FieldBytes(raw: $0).decimal } == 1)
        #expect(fields.contains("x") && !fields.contains(String("y")))
        #expect(fields.compacted() == fields)
        fields.remove("set-cookie")
        fields.set("x", "now")
        fields.add("LONG-" + String(repeating: "N", count: 300), String(repeating: "v", count: 70_000))
        #expect(fields.strings.map(\.name).prefix(2) == ["content-type", "x"])
        #expect(fields["long-" + String(repeating: "n", count: 300)]?.utf8.count == 70_000)
        #expect(fields.filter { name, _ in name.equals("x") } == ["x": "now"])
        fields.removeAll()
        #expect(fields == HeaderFields() && fields.isEmpty && fields.byteCount == 0)
    }

    @Test(
        "a length is digits, no more than a number can have",
        arguments: [
            ("0", 0), ("12", 12), ("999999999999999999", 999_999_999_999_999_999), ("1000000000000000000", nil),
            ("", nil), ("+1", nil), ("-1", nil), ("1 ", nil), ("0x1", nil),
        ] as [(String, Int?)]
    )
    func decimals(text: String, number: Int?) {
        #expect(Array(text.utf8).withUnsafeBytes { FieldBytes(raw: $0).decimal } == number)
    }

    private func strings(_ fields: UnsafePointer<nghttp2_nv>, _ count: Int) -> [String] {
        (0..<count).map { index in
            let field = fields[index]
            let name = UnsafeBufferPointer(start: field.name, count: field.namelen)
            let value = UnsafeBufferPointer(start: field.value, count: field.valuelen)
            return String(decoding: name, as: UTF8.self) + "=" + String(decoding: value, as: UTF8.self)
        }
    }

    @Test("a request's pseudo fields come first; host and what belongs to a connection stay behind")
    func request() {
        let head = HTTPRequestHead(
            method: "POST",
            target: "/v1?x=y",
            headers: [
                "host": "other", "accept": "*/*", "connection": "x", "keep-alive": "1", "upgrade": "h2c",
                "transfer-encoding": "chunked", "proxy-connection": "x", "evil": "a\nb", "empty": "",
            ]
        )
        var fields: [String] = []
        let answer = HTTP2Fields.withRequest(head, scheme: "https", authority: "example.com") {
            fields = strings($0, $1)
            return 7
        }
        #expect(answer == 7)
        #expect(
            fields == [
                ":method=POST", ":scheme=https", ":authority=example.com", ":path=/v1?x=y", "accept=*/*", "empty=",
            ]
        )
    }

    @Test("a request whose host counts has it as its authority, the first one; else the one given")
    func host() {
        func authorities(_ headers: HeaderFields) -> [String] {
            var found: [String] = []
            let head = HTTPRequestHead(method: "GET", target: "/", headers: headers)
            _ = HTTP2Fields.withRequest(head, scheme: "https", authority: "given", prefersHost: true) {
                found = strings($0, $1)
                return 0
            }
            return found
        }
        let others = [":method=GET", ":scheme=https"]
        #expect(authorities(["a": "b"]) == others + [":authority=given", ":path=/", "a=b"])
        #expect(
            authorities(["a": "b", "host": "own", "c": "d", "host": "second"])
                == others + [":authority=own", ":path=/", "a=b", "c=d"]
        )
        #expect(authorities(["host": ""]) == others + [":authority=", ":path=/"])
    }

    @Test("a response gets its date and length where they are missing, and only one of each")
    func response() {
        func fields(
            _ head: HTTPResponseHead,
            date: UnsafeRawBufferPointer? = nil,
            contentLength: Int? = nil
        ) -> [String] {
            var found: [String] = []
            _ = HTTP2Fields.withResponse(head, date: date, contentLength: contentLength) {
                found = strings($0, $1)
                return 0
            }
            return found
        }
        let head = HTTPResponseHead(status: 200, headers: ["content-length": "9", "x": "y"])
        let dated = HTTPResponseHead(status: 529, headers: ["date": "given"])
        [UInt8]("today".utf8).withUnsafeBytes { date in
            #expect(
                fields(head, date: date, contentLength: 1_234_567)
                    == [":status=200", "date=today", "content-length=1234567", "x=y"]
            )
            #expect(fields(dated, date: date) == [":status=529", "date=given"])
        }
        #expect(fields(head, contentLength: 0)[1] == "content-length=0")
    }

    @Test("what no other message will say again is not remembered for it")
    func unique() {
        var flags: [UInt8] = []
        let head = HTTPResponseHead(
            status: 200,
            headers: ["request-id": "a", "x-request-id": "b", "x-request-ix": "c", "content-type": "d"]
        )
        _ = HTTP2Fields.withResponse(head) { fields, count in
            flags = (0..<count).map { fields[$0].flags & UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) }
            return 0
        }
        #expect(flags == [0, 1, 1, 0, 0])
    }

    private func collected(_ fields: [(String, String)]) -> HTTP2HeadCollector {
        var collector = HTTP2HeadCollector()
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in
                Array(value.utf8).withUnsafeBytes { value in collector.add(name, value) }
            }
        }
        return collector
    }

    @Test("a received block becomes the head that HTTP/1 would have given")
    func collector() {
        let request = collected([
            (":method", "GET"), (":path", "/a"), (":scheme", "http"), (":authority", "h:1"), ("x", "y"),
        ])
        #expect(request.byteCount == 7 + 3 + 5 + 2 + 7 + 4 + 10 + 3 + 2 + 5 * 32)
        #expect(
            request.makeRequest() == HTTPRequestHead(method: "GET", target: "/a", headers: ["x": "y", "host": "h:1"])
        )
        var response = collected([(":status", "204"), ("x", "y")])
        #expect(response.takeResponse() == HTTPResponseHead(status: 204, headers: ["x": "y"]))
        #expect(response.takeResponse() == HTTPResponseHead(status: 0))
        #expect(collected([(":status", "2x4")]).status == 0)
        #expect(collected([(":authority", "a"), ("host", "b")]).isHostAmbiguous)
        #expect(!collected([(":authority", "a"), ("host", "a")]).isHostAmbiguous)
        #expect(!collected([("host", "a")]).isHostAmbiguous)
    }
}
