"""What a test works with: a group with accounts at the simulator, a user with money, a key. All of its own, so that no
test sees another's calls."""

import itertools
import uuid
from dataclasses import dataclass, field

import httpx

from .admin import Admin
from .money import Rates
from .simulator import Call, Simulator
from .stack import Stack
from .waiting import until

ANTHROPIC_VERSION = {"anthropic-version": "2023-06-01"}


@dataclass
class Account:
    row: dict
    # The credential by which the simulator knows who called.
    secret: str


@dataclass
class Tenant:
    stack: Stack
    admin: Admin
    simulator: Simulator
    tag: str
    group: dict
    user: dict
    key_row: dict
    key: str
    accounts: list[Account] = field(default_factory=list)
    # Models that begin so have these prices, and no other tenant's models do.
    model: str = ""
    rates: Rates | None = None
    # The last call of each account that is not looked at any more.
    forgotten: dict[str, int] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key, **ANTHROPIC_VERSION}

    @property
    def json_headers(self) -> dict[str, str]:
        return {**self.headers, "content-type": "application/json"}

    def named(self, words: str = "") -> str:
        """A model name of this tenant that asks the simulator for something: `named("e5-d10")`."""
        return f"{self.model}-sim-{words}" if words else self.model

    def body(self, words: str = "", text: str = "Hello", **fields: object) -> dict:
        return {
            "model": self.named(words),
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": text}],
            **fields,
        }

    def gateway(self, worker: int = 0) -> str:
        return self.stack.gateways[worker]

    def post(self, body: dict | bytes, worker: int = 0, path: str = "/v1/messages", **headers: str) -> httpx.Response:
        """Calls of one program that begin alike are one conversation: unless it is named, each comes from its own."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        fields = {"user-agent": unique("test/"), **self.json_headers, **headers}
        return httpx.post(self.gateway(worker) + path, headers=fields, timeout=60, trust_env=False, **content)

    def get(self, path: str, worker: int = 0, **headers: str) -> httpx.Response:
        return httpx.get(
            self.gateway(worker) + path, headers={**self.headers, **headers}, timeout=15, trust_env=False
        )

    # What happened

    def calls(self, account: int = 0) -> list[Call]:
        """What the simulator recorded for the account, oldest first."""
        secret = self.accounts[account].secret
        return self.simulator.calls(secret, since=self.forgotten.get(secret, 0))

    def forget_calls(self) -> None:
        """From here on `calls` has new ones only."""
        for account in self.accounts:
            calls = self.simulator.calls(account.secret, since=self.forgotten.get(account.secret, 0))
            if calls:
                self.forgotten[account.secret] = calls[-1].id

    def rows(self, count: int | None = None, seconds: float = 20) -> list[dict]:
        """The usage rows of the key, oldest first; waits until there are `count`."""

        def read() -> list[dict]:
            rows = self.admin.items("usage", key_id=self.key_row["id"], kind="call")
            rows.sort(key=lambda row: (row["created_at"], row["request_id"]))
            assert count is None or len(rows) >= count, f"{len(rows)} usage rows, {count} expected"
            return rows or [{}]

        rows = [row for row in until("usage rows", read, seconds) if row]
        assert count is None or len(rows) == count, f"{len(rows)} usage rows instead of {count}: {rows}"
        return rows

    def row(self, request_id: str, seconds: float = 20) -> dict:
        """The usage row of one call; waits until it is there."""

        def read() -> dict | None:
            rows = self.admin.items("usage", request_id=request_id)
            assert len(rows) <= 1, rows
            return rows[0] if rows else None

        return until(f"the usage row of {request_id}", read, seconds)

    def usage(self, worker: int = 0) -> dict:
        answer = self.get("/v1/usage", worker)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # What is arranged

    def add_account(self, words: str = "", **fields: object) -> Account:
        """An account whose key may carry words for the simulator: `add_account("429", priority=1)`."""
        account = create_account(self.admin, self.simulator, self.tag, [self.group["id"]], words, **fields)
        self.accounts.append(account)
        return account

    def await_workers(self) -> None:
        """Waits until both workers have what was arranged: configuration reaches them within a second."""
        await_configuration(self.stack, self.admin)


_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    return f"{prefix}{next(_numbers)}x{uuid.uuid4().hex[:10]}"


def create_account(
    admin: Admin, simulator: Simulator, tag: str, groups: list[int], words: str = "", **fields: object
) -> Account:
    secret = unique(f"sk-{tag}-") + (f"-sim-{words}" if words else "")
    kind = fields.get("type", "apikey")
    named = {"api_key": secret} if kind in ("apikey", "bedrock") else {"access_token": secret, "refresh_token": secret}
    # An Antigravity login without a project is renewed at once to find one, and its token changes with that.
    project = {"project_id": "sim-project"} if (fields.get("platform"), kind) == ("antigravity", "oauth") else {}
    credentials = {**named, "base_url": simulator.url, **project, **fields.pop("credentials", {})}
    row = admin.create(
        "accounts",
        **{
            "name": unique(f"{tag} account "),
            "platform": "anthropic",
            "type": "apikey",
            "credentials": credentials,
            "group_ids": groups,
            "concurrency": 100,
            **fields,
        },
    )
    return Account(row, credentials.get("api_key") or credentials["access_token"])


def await_configuration(stack: Stack, admin: Admin) -> None:
    """Waits until both workers enforce the configuration as it is now.

    A group made last is the mark: once its key is served, so is everything that was arranged before it.
    """
    tag = unique("mark")
    group = admin.create("groups", name=tag, platform="anthropic")
    users = admin.get("/admin/users", q="user@tollgate.local")["items"]
    key = admin.create("keys", name=tag, user_id=users[0]["id"], group_id=group["id"])
    for gateway in stack.gateways:

        def is_current() -> bool:
            answer = httpx.get(
                gateway + "/v1/models", headers={"x-api-key": key["key"], **ANTHROPIC_VERSION}, timeout=15,
                trust_env=False,
            )
            # The group has no account: it may have nothing to list, but it must be known.
            assert answer.headers.get("x-tollgate-code") not in (
                "group_inactive", "invalid_api_key", "service_unavailable",
            ), answer.text
            return True

        until(f"{gateway} has the newest configuration", is_current)
    admin.delete("keys", key)
    admin.delete("groups", group)
