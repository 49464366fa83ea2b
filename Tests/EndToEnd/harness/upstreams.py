"""The kinds of upstream, each as accounts at the simulator."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Upstream:
    name: str
    # The dialect in which it is called.
    dialect: str
    # How paths of its calls begin.
    path: str
    platform: str
    # How models are called that it serves without a mapping.
    family: str
    type: str = "apikey"
    credentials: dict = field(default_factory=dict)
    # Behind the simulator's address.
    base_path: str = ""


UPSTREAMS: dict[str, Upstream] = {
    upstream.name: upstream
    for upstream in (
        Upstream("Anthropic", "anthropic", "/v1/messages", "anthropic", "claude-"),
        Upstream(
            "Bedrock", "anthropic", "/model/", "anthropic", "claude-", "bedrock",
            {"auth_mode": "apikey", "region": "us-east-1"},
        ),
        Upstream(
            "OpenAI chat", "openai chat", "/v1/chat/completions", "openai", "gpt-", credentials={"upstream_api": "chat"}
        ),
        Upstream(
            "OpenAI responses", "openai responses", "/v1/responses", "openai", "gpt-",
            credentials={"upstream_api": "responses"},
        ),
        Upstream(
            "OpenAI login", "openai responses", "/backend-api/codex/responses", "openai", "gpt-", "oauth",
            base_path="/backend-api/codex",
        ),
        Upstream("Gemini", "gemini", "/v1beta/models/", "gemini", "gemini-"),
        Upstream("Antigravity", "gemini", "/v1internal:", "antigravity", "gemini-", "oauth"),
    )
}
