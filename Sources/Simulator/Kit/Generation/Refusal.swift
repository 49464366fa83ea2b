import HTTPMessages

/// A request that a platform's API refuses, with its message.
package struct Refusal: Error, Equatable {
    package var status: Int
    package var message: String
    /// The member that is wrong, where the platform names it.
    package var param: String?
    package var code: String?

    init(_ message: String, status: Int = 400, param: String? = nil, code: String? = nil) {
        self.message = message
        self.status = status
        self.param = param
        self.code = code
    }
}

/// The error answers of a platform, in its shape, with its header fields.
package protocol PlatformErrors {
    /// What a request that is wrong is told.
    func refusal(_ refusal: Refusal) -> AnswerPlan

    /// The answer of a status fault; `variant` picks one of several, `amount` is its number.
    func fault(_ status: Int, variant: String, amount: Int?, model: String?) -> AnswerPlan

    /// The status with which the platform says that it is overloaded.
    var overloadedStatus: Int { get }
}

extension PlatformErrors {
    /// A page of the proxy in front of the API, which knows neither JSON nor request ids.
    func page(_ status: Int, server: String) -> AnswerPlan {
        let title = status == 403 ? "403 Forbidden" : "\(status) Bad Gateway"
        let html =
            "<html><head><title>\(title)</title></head>\r\n<body><center><h1>\(title)</h1></center></body></html>\r\n"
        return AnswerPlan(status, ["content-type": "text/html", "server": server], body: Array(html.utf8))
    }
}
