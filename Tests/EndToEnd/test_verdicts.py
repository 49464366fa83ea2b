"""What an upstream's refusal does to its account: seen in the admin API, by the next call, and by the other worker."""

import datetime
import time
from dataclasses import dataclass, field

import pytest

from harness.tenancy import Tenant
from harness.waiting import until


@dataclass
class Row:
    """What the first account does, and what becomes of it."""

    words: str
    # error, rate_limited, overloaded, paused, model, or nothing.
    state: str | None
    # Until its end, where it has one.
    seconds: float = 0
    platform: str = "anthropic"
    kind: str = "apikey"
    fields: dict = field(default_factory=dict)
    # Fields of the account beside its state.
    shows: dict = field(default_factory=dict)
    # How often it is asked before the call moves on.
    attempts: int = 1

    @property
    def name(self) -> str:
        extra = "-".join(sorted(self.fields.keys() - {"credentials"}))
        return "-".join(part for part in [self.platform, self.kind, self.words, extra] if part)


RULES = {"temp_unschedulable_rules": [{"status": 503, "keywords": [], "minutes": 7}]}

ROWS = [
    Row("400disabled", "error"),
    Row("400credit", "error"),
    Row("401", "error"),
    Row("402", "error"),
    Row("403", "error"),
    Row("403html", None),
    Row("404", "model", 1800),
    *[Row(words, None) for words in ["408", "500", "502", "503", "504", "reset"]],
    Row("429retry120", "rate_limited", 120),
    Row("429unified300", "rate_limited", 300),
    Row("429ms300", "rate_limited", 300),
    # What the call asks for is refused, not the account.
    Row("429context", None),
    Row("429fast90", None),
    Row("529", "overloaded", 600),
    Row("401", "paused", 600, kind="oauth"),
    Row("401", "error", platform="openai"),
    Row("401detail", "error", platform="openai", kind="oauth"),
    Row("401invalidated", "error", platform="openai", kind="oauth"),
    Row("403", "paused", 600, platform="openai"),
    Row("429usage600", "rate_limited", 600, platform="openai"),
    Row("429codex900", "rate_limited", 900, platform="openai", kind="oauth"),
    Row("404", "model", 1800, platform="openai"),
    Row("400project", "paused", 60, platform="gemini", attempts=3),
    Row("429retry120", "rate_limited", 120, platform="gemini"),
    Row("403", "error", platform="gemini"),
    Row("401", "error", platform="antigravity", kind="oauth"),
    Row("403validation", "error", platform="antigravity", kind="oauth",
        shows={"forbidden_type": "validation"}),
    Row("403violation", "error", platform="antigravity", kind="oauth",
        shows={"forbidden_type": "violation"}),
    Row("403", "error", platform="antigravity", kind="oauth", shows={"forbidden_type": "forbidden"}),
    # What an admin has said about the account comes first.
    Row("500", "error", fields={"custom_error_codes": [500]}),
    Row("402", None, fields={"custom_error_codes": [500]}),
    Row("429", None, fields={"pool_mode": True, "pool_retry_count": 2}, attempts=3),
    Row("503", "paused", 420, fields=RULES),
]

FIELDS = {
    "rate_limited": "rate_limited_until",
    "overloaded": "overloaded_until",
    "paused": "temp_unschedulable_until",
}


def read(tenant: Tenant, account: int = 0) -> dict:
    return tenant.admin.get(f"/admin/accounts/{tenant.accounts[account].row['id']}")


def seconds_until(text: str) -> float:
    end = datetime.datetime.fromisoformat(text)
    return (end - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


def end_of(account: dict, state: str) -> str | None:
    if state == "model":
        return next(iter(account["model_limits"].values()), None)
    return account[FIELDS[state]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_of_the_verdict_table(make_tenant, simulator, row: Row) -> None:
    common = {"platform": row.platform, "type": row.kind}
    if (row.platform, row.kind) == ("openai", "oauth"):
        common["credentials"] = {"base_url": simulator.url + "/backend-api/codex"}
    tenant = make_tenant(
        group={"platform": row.platform},
        accounts=[
            {"words": row.words, "priority": 1, **common, **row.fields},
            {"priority": 2, **common},
        ],
    )
    answer = tenant.post(tenant.body())
    assert answer.status_code == 200, answer.text
    # A kept connection that is reset is tried once more on a new one: it may have been an old one.
    further = 1 if row.words == "reset" else 0
    assert row.attempts <= len(tenant.calls(0)) <= row.attempts + further
    if row.state is None:
        # The next call asks it again, and nothing is to be seen.
        assert tenant.post(tenant.body()).status_code == 200
        assert 2 * row.attempts <= len(tenant.calls(0)) <= 2 * (row.attempts + further)
        account = read(tenant)
        assert account["status"] == "active" and account["model_limits"] == {}
        assert [account[name] for name in FIELDS.values()] == [None, None, None]
        return
    # This worker and the other one leave it alone from now on.
    for worker in (1, 0, 1):
        assert tenant.post(tenant.body(), worker).status_code == 200
    assert len(tenant.calls(0)) == row.attempts and len(tenant.calls(1)) == 4

    def is_shown() -> dict | None:
        account = read(tenant)
        shown = account["status"] == "error" if row.state == "error" else end_of(account, row.state)
        return account if shown else None

    account = until(f"{row.state} is shown", is_shown)
    for name, value in row.shows.items():
        assert account[name] == value
    if row.state == "error":
        assert account["error_message"].startswith(row.words[:3])
        assert tenant.accounts[0].secret not in account["error_message"]
    else:
        assert account["status"] == "active"
        left = seconds_until(end_of(account, row.state))
        assert row.seconds - 30 < left <= row.seconds + 2, left
    if row.words == "403validation":
        assert account["validation_url"].startswith("https://")


def test_a_limited_model_leaves_the_others_alone(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"priority": 1}])
    assert tenant.post(tenant.body("404")).status_code == 404
    refused = tenant.post(tenant.body("404"))
    assert (refused.status_code, refused.headers["x-tollgate-code"]) == (503, "no_account_available")
    assert refused.headers["x-should-retry"] == "false" and "retry-after" not in refused.headers
    assert tenant.post(tenant.body(), 1).status_code == 200


def test_all_accounts_limited_says_when_to_come_back(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"words": "429retry40"}, {"words": "429retry30"}])
    assert tenant.post(tenant.body()).status_code == 429
    for worker in (0, 1):
        refused = tenant.post(tenant.body(), worker)
        assert refused.status_code == 503
        assert 15 <= int(refused.headers["retry-after"]) <= 30


@pytest.mark.parametrize("action, words", [("recover", "402"), ("clear-flags", "429retry600")])
def test_an_admin_ends_it_on_every_worker_at_once(make_tenant, action: str, words: str) -> None:
    tenant = make_tenant(accounts=[{}])
    path = f"/admin/accounts/{tenant.accounts[0].row['id']}"
    tenant.simulator.arm(words, tenant.accounts[0].secret)
    first = tenant.post(tenant.body())
    assert first.status_code in (429, 502)
    until("it is shown", lambda: read(tenant)["status"] == "error" or read(tenant)["rate_limited_until"])
    for worker in (0, 1):
        assert tenant.post(tenant.body(), worker).status_code == 503
    account = tenant.admin.call("POST", f"{path}/{action}")
    assert account["status"] == "active" and account["error_message"] is None
    assert account["rate_limited_until"] is None
    for worker in (0, 1):
        until("it serves again", lambda: tenant.post(tenant.body(), worker).status_code == 200)
    assert read(tenant)["status"] == "active"


def test_an_account_that_is_not_schedulable_is_left_alone_at_once(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"priority": 1}, {"priority": 2}])
    path = f"/admin/accounts/{tenant.accounts[0].row['id']}/schedulable"
    for wanted, expected in ((False, 1), (True, 0)):
        assert tenant.admin.call("POST", path, {"schedulable": wanted})["schedulable"] is wanted
        tenant.forget_calls()
        for worker in (0, 1):

            def goes_there() -> bool:
                assert tenant.post(tenant.body(), worker).status_code == 200
                return len(tenant.calls(expected)) > worker

            until("the other account answers", goes_there)


def test_a_success_ends_a_pause_that_was_a_guess(make_tenant) -> None:
    """All accounts overloaded: one call at a time tries it out from five seconds on, and its success is for all."""
    tenant = make_tenant(accounts=[{}])
    tenant.simulator.arm("529", tenant.accounts[0].secret)
    began = time.monotonic()
    assert tenant.post(tenant.body()).status_code == 529
    refused = tenant.post(tenant.body(), 1)
    assert refused.status_code == 503 and refused.headers["x-should-retry"] == "false"
    until("it is shown", lambda: read(tenant)["overloaded_until"])
    until("it is tried out", lambda: tenant.post(tenant.body(), 1).status_code == 200, 20)
    assert time.monotonic() - began >= 4.5
    until("the other worker knows", lambda: tenant.post(tenant.body(), 0).status_code == 200)
    until("the pause is over", lambda: read(tenant)["overloaded_until"] is None)


def test_empty_streams_pause_the_account_after_two_retries(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"words": "empty", "priority": 1}, {"priority": 2}])
    assert "Hello" in tenant.post(tenant.body("i5-o6", stream=True)).text
    assert len(tenant.calls(0)) == 3
    account = until("it is shown", lambda: (row := read(tenant))["temp_unschedulable_until"] and row)
    assert 20 < seconds_until(account["temp_unschedulable_until"]) <= 62
    assert tenant.post(tenant.body(stream=True), 1).status_code == 200
    assert len(tenant.calls(0)) == 3
