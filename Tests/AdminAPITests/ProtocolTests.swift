import Formats
import HTTPMessages
import Reactor
import TestSupport
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("The protocol of the API")
    struct APIProtocol {
        @Test("errors are problems with a request id, and the statuses say what is wrong")
        func problems() async throws {
            try await withAdmin { admin in
                let json = ("content-type", "application/json")
                let bearer = ("authorization", "Bearer \(admin.token ?? "")")
                let post = { (body: String, headers: [(String, String)]) async throws -> AdminServer.Answer in
                    try await admin.raw("POST", "/api/v1/admin/groups", Array(body.utf8), headers: [bearer] + headers)
                }
                let answers: [(AdminServer.Answer, Int)] = [
                    (try await admin.call("GET", "/nothing"), 404),
                    (try await admin.call("GET", "/admin/users/x"), 404),
                    (try await admin.call("GET", "/admin/users/99999"), 404),
                    (try await admin.call("GET", "/admin/users/99999999999999999999"), 404),
                    (try await admin.call("PUT", "/admin/users"), 405),
                    (try await post("", [json]), 400), (try await post("{", [json]), 400),
                    (try await post("[]", [json]), 400),
                    (try await post("\"x\"", [json]), 400), (try await post("{\"name\": \"\u{1}\"", [json]), 400),
                    (try await post(String(repeating: "[", count: 5000), [json]), 400),
                    (try await post("{}", []), 415), (try await post("{}", [("content-type", "text/plain")]), 415),
                    (try await post("{}", [json, ("content-encoding", "gzip")]), 415),
                    (try await post("{\"name\": \"\(String(repeating: "x", count: 1_100_000))\"}", [json]), 413),
                    (try await post("{}", [("content-type", "Application/JSON; charset=utf-8")]), 400),
                    (try await admin.call("GET", "/admin/users?sort=password_hash"), 400),
                ]
                for (answer, status) in answers {
                    #expect(answer.status == status)
                    #expect(answer.headers["content-type"] == "application/problem+json")
                    #expect(answer["status"]?.int == status)
                    for name in ["type", "title", "detail"] { #expect(answer[name]?.string?.isEmpty == false) }
                    #expect(answer["request_id"]?.string == answer.headers["x-request-id"])
                }
                let wrongMethod = try await admin.call("PUT", "/admin/users")
                #expect(wrongMethod.headers["allow"] == "GET, POST, HEAD")
                #expect(try await admin.call("GET", "/admin/users").status == 200)
            }
        }

        @Test(
            "what breaks HTTP is a problem as well",
            arguments: [
                ("GET /api/v1/auth/me HTTP/1.1\r\n\r\n", 400), ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
                ("POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx", 417),
                ("GET / HTTP/1.1\r\nHost: a\r\nx: \(String(repeating: "y", count: 70_000))\r\n\r\n", 431),
                ("GET / HTTP/4.0\r\n\r\n", 505),
            ]
        )
        func brokenHTTP(request: String, status: Int) async throws {
            try await withAdmin { admin in
                let caller = try await RawCaller(admin.loop, to: #require(admin.plane.adminAddress))
                caller.send(request)
                let text = try await caller.rest()
                let answer = try #require(RawAnswer(text), "\(text)")
                #expect(answer.status == status && answer["content-type"] == "application/problem+json")
                let problem = try JSON(text: answer.body)
                #expect(problem["status"]?.int == status && problem["title"] != "Internal Server Error")
                #expect(problem["request_id"]?.string == answer["x-request-id"] && answer["x-request-id"] != nil)
            }
        }

        @Test("bytes that are not UTF-8 are refused")
        func invalidUTF8() async throws {
            try await withAdmin { admin in
                let body = Array("{\"name\": \"".utf8) + [0xff, 0xfe] + Array("\", \"platform\": \"openai\"}".utf8)
                let headers = [("content-type", "application/json"), ("authorization", "Bearer \(admin.token ?? "")")]
                let answer = try await admin.raw("POST", "/api/v1/admin/groups", body, headers: headers)
                #expect(answer.status == 400)
            }
        }

        @Test("the description is served and names every path")
        func description() async throws {
            try await withAdmin { admin in
                let answer = try await admin.call("GET", "/openapi.json", token: .some(nil))
                #expect(answer["openapi"] == "3.1.0")
                for path in [
                    "/api/v1/auth/login", "/api/v1/admin/accounts/{id}", "/api/v1/admin/groups/sort-order",
                    "/api/v1/openapi.json",
                ] {
                    #expect(answer["paths"]?[path] != nil, "\(path)")
                }
            }
        }

        @Test(
            "text that looks like SQL is text",
            arguments: [
                "'; drop table users; --", "\" or 1=1", "%", "_", "\\", "$1", "a'b\"c\\d",
                "Robert'); DELETE FROM groups;--",
            ]
        )
        func injection(_ text: String) async throws {
            try await withAdmin { admin in
                let id = try await admin.makeGroup(text)
                _ = try await admin.makeGroup("another")
                #expect(try await admin.call("GET", "/admin/groups/\(id)")["name"] == .string(text))
                let query = text.utf8.map { "%" + String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
                let found = try await admin.call("GET", "/admin/groups?q=\(query)")
                #expect(found.items.map { $0["name"] } == [.string(text)])
                #expect(try await admin.count("select count(*) as count from users") == 1)
            }
        }

        @Test("pages follow one another without gap or overlap, in every order")
        func pages() async throws {
            try await withAdmin { admin in
                for index in 0..<7 {
                    _ = try await admin.makeGroup("g\(index)", ["platform": index % 2 == 0 ? "openai" : "gemini"])
                }
                for sort in ["name", "-name", "-created_at", "platform", "-platform"] {
                    var names: [String] = []
                    for page in 1...4 {
                        let answer = try await admin.call("GET", "/admin/groups?page=\(page)&page_size=2&sort=\(sort)")
                        #expect(answer["total"] == 7 && answer["page"]?.int == page && answer["page_size"] == 2)
                        names += answer.items.compactMap { $0["name"]?.string }
                    }
                    #expect(names.sorted() == (0..<7).map { "g\($0)" })
                    if sort == "-name" { #expect(names == names.sorted(by: >)) }
                }
                #expect(try await admin.call("GET", "/admin/groups?page=99")["items"] == [])
                #expect(try await admin.call("GET", "/admin/groups?platform=gemini")["total"] == 3)
                #expect(try await admin.call("GET", "/admin/groups?q=G3")["total"] == 1)
            }
        }
    }
}
