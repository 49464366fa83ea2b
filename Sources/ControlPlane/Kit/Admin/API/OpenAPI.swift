package import Formats

/// Writes the description of the API (OpenAPI 3.1) from the table that serves it.
package enum OpenAPI {
    package static let path = "/api/v1/openapi.json"

    /// The route of the description, which describes itself as well.
    static func route(for routes: [Route]) -> Route {
        let own = Route(
            "GET",
            path,
            .open,
            "This description",
            answer: Schema.object,
            handler: { _ in AdminAnswer.noContent }
        )
        let document = document(for: routes + [own])
        return Route("GET", path, .open, own.summary, answer: Schema.object) { _ in .ok(document) }
    }

    package static func document(for routes: [Route]) -> JSON {
        var paths: [(key: String, value: JSON)] = []
        for route in routes {
            let operation = (key: route.method.lowercased(), value: operation(route))
            if let index = paths.firstIndex(where: { $0.key == route.path }) {
                paths[index].value[operation.key] = operation.value
            } else {
                paths.append((route.path, .object([operation])))
            }
        }
        return [
            "openapi": "3.1.0",
            "info": ["title": "Tollgate admin API", "version": "1"],
            "paths": .object(paths),
            "components": [
                "securitySchemes": [
                    "bearer": ["type": "http", "scheme": "bearer"],
                    "cookie": ["type": "apiKey", "in": "cookie", "name": .string(Authenticator.cookieName)],
                ],
                "schemas": ["Problem": problem],
            ],
        ]
    }

    private static func operation(_ route: Route) -> JSON {
        var operation: JSON = [
            "operationId": .string(operationID(route)), "summary": .string(route.summary),
            "tags": [.string(tag(route.path))],
        ]
        let parameters =
            pathParameters(route.path) + route.query.map { parameter($0.name, "query", $0.schema, $0.summary) }
        if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
        if let body = route.body {
            operation["requestBody"] = [
                "required": .bool(!route.isBodyOptional), "content": ["application/json": ["schema": body]],
            ]
        }
        var answer: JSON = ["description": "Done"]
        if let schema = route.answer {
            let type = route.isEventStream ? "text/event-stream" : route.answerType
            answer["content"] = .object([(key: type, value: ["schema": schema] as JSON)])
        }
        operation["responses"] = .object([
            (key: String(route.status), value: answer),
            (
                key: "default",
                value: [
                    "description": "A problem",
                    "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
                ]
            ),
        ])
        operation["security"] = route.access == .open ? [] : [["bearer": []], ["cookie": []]]
        return operation
    }

    private static func parameter(_ name: String, _ place: String, _ schema: JSON, _ summary: String) -> JSON {
        [
            "name": .string(name), "in": .string(place), "required": .bool(place == "path"), "schema": schema,
            "description": .string(summary),
        ]
    }

    private static func pathParameters(_ path: String) -> [JSON] {
        path.split(separator: "/").filter { $0.hasPrefix("{") }.map { part in
            let name = String(part.dropFirst().dropLast())
            return parameter(name, "path", name == "id" ? Schema.id : Schema.text, "Which one.")
        }
    }

    /// `get_admin_users_id`: one of its own for every route.
    private static func operationID(_ route: Route) -> String {
        let words = route.path.split(separator: "/").dropFirst(2).map { part in
            String(part.filter { $0 != "{" && $0 != "}" }.map { $0 == "-" || $0 == "." ? "_" : $0 })
        }
        return ([route.method.lowercased()] + words).joined(separator: "_")
    }

    private static func tag(_ path: String) -> String {
        let words = path.split(separator: "/").dropFirst(2)
        return String(words.first == "admin" ? words.dropFirst().first ?? "admin" : words.first ?? "api")
    }

    private static let problem: JSON = [
        "type": "object",
        "properties": [
            "type": Schema.text, "title": Schema.text, "status": Schema.integer, "detail": Schema.text,
            "request_id": Schema.text,
            "errors": Schema.array(
                of: [
                    "type": "object", "properties": ["field": Schema.text, "message": Schema.text],
                    "required": ["field", "message"],
                ]
            ),
        ],
        "required": ["type", "title", "status", "detail"],
    ]
}
