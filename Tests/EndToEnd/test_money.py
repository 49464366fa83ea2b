"""Limits hold, whoever calls at once; what was spent is the same in every book; nothing stays reserved."""

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from harness.admin import Admin
from harness.money import NANO, nano
from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until

WORDS = "i1000-o100"
# No upstream counts more tokens than a body has bytes for: what is reserved rests on that.
LONG = "word " * 410


def usd(amount: int) -> str:
    return f"{amount // NANO}.{amount % NANO:09d}"


def code(answer: httpx.Response) -> str | None:
    return answer.headers.get("x-tollgate-code")


class Counters:
    """The numbers in Redis that a user's calls are counted against."""

    def __init__(self, tenant: Tenant) -> None:
        self.redis = redis.Redis.from_url(tenant.stack.read("TOLLGATE_REDIS_URL"), decode_responses=True)
        self.user = tenant.user["id"]
        self.key = tenant.key_row["id"]
        self.tag = f"tg:{{p{self.user % 64:02d}}}:"

    def read(self, name: str) -> dict[str, int]:
        return {field: int(value) for field, value in self.redis.hgetall(self.tag + name).items()}

    @property
    def wallet(self) -> dict[str, int]:
        return self.read(f"wallet:{self.user}")

    def policies(self) -> list[dict[str, int]]:
        return [self.read(name[len(self.tag):]) for name in self.redis.keys(f"{self.tag}policy:{self.key}:*")]

    def checkpoints(self) -> list[str]:
        return self.redis.hvals(self.tag + "checkpoint")

    def reserved(self) -> int:
        names = self.redis.keys(f"{self.tag}wallet:{self.user}") + self.redis.keys(f"{self.tag}*:{self.key}*")
        return sum(int(self.redis.hget(name, "r") or 0) for name in names if self.redis.type(name) == "hash"
                   and ":slots:" not in name)


@pytest.fixture
def make(make_tenant):
    """A tenant whose key has these limits, and the cost of one of its calls."""

    def build(balance: str = "100", key: dict | None = None, **fields: object) -> tuple[Tenant, int]:
        tenant = make_tenant(balance=balance, key=key, **fields)
        return tenant, tenant.rates.cost({"input_tokens": 1000, "output_tokens": 100})

    return build


def policy(quota: int, **fields: object) -> dict:
    return {"period": "daily", "quota": usd(quota), **fields}


def test_without_money_there_is_402_and_a_top_up_counts_at_once(make, worker: int) -> None:
    tenant, cost = make(balance="0")
    refused = tenant.post(tenant.body(WORDS), worker)
    assert refused.status_code == 402
    assert code(refused) == "insufficient_balance"
    assert refused.json()["type"] == "error"
    tenant.admin.call("POST", f"/admin/users/{tenant.user['id']}/balance", {"amount": usd(cost)})
    assert tenant.post(tenant.body(WORDS, max_tokens=100), worker).status_code == 200
    [row] = tenant.rows(1)
    assert nano(row["cost"]) == cost
    assert tenant.post(tenant.body(WORDS), worker).status_code == 402
    assert len(tenant.calls()) == 1


@pytest.mark.parametrize("boundary", ["strict", "graceful"])
def test_five_hundred_calls_on_money_for_fifty(make, boundary: str) -> None:
    tenant, cost = make()
    tenant.admin.change("keys", tenant.key_row, policy=policy(cost * 50, boundary=boundary))

    def one(number: int) -> httpx.Response:
        return tenant.post(tenant.body(WORDS, max_tokens=100, text=f"{number} {LONG}"), number % 2)

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, range(500)))
    served = [answer for answer in answers if answer.status_code == 200]
    refused = {code(answer) for answer in answers if answer.status_code != 200}
    assert refused <= {"token_quota_policy_exhausted", "budget_in_use"}
    assert {answer.status_code for answer in answers} == {200, 429}
    rows = tenant.rows(len(served))
    spent = sum(nano(row["cost"]) for row in rows)
    assert spent == len(served) * cost
    if boundary == "strict":
        assert spent <= 50 * cost
    else:
        # Over it by no more than was admitted below it.
        assert 50 * cost <= spent
    counters = Counters(tenant)
    until("nothing is reserved and all is settled", lambda: counters.reserved() == 0 and counters.wallet["u"] == 0)
    [window] = counters.policies()
    assert window["b"] == spent and window.get("u", 0) == 0 and window["r"] == 0
    assert counters.wallet["b"] == nano(tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"])
    assert nano(tenant.admin.get(f"/admin/keys/{tenant.key_row['id']}")["policy"]["used"]) == spent
    entries = tenant.admin.items(f"users/{tenant.user['id']}/balance")
    assert sum(nano(entry["amount"]) for entry in entries) == counters.wallet["b"]


def test_a_keys_quota_and_its_reset(make, worker: int) -> None:
    tenant, cost = make(key={"quota": "0.000000001"})
    body = tenant.body(WORDS, max_tokens=100)
    assert tenant.post(body, worker).status_code == 200
    tenant.rows(1)
    refused = tenant.post(body, worker)
    assert refused.status_code == 429 and code(refused) == "api_key_quota_exhausted"
    key = tenant.admin.get(f"/admin/keys/{tenant.key_row['id']}")
    assert nano(key["quota_used"]) == cost and key["display_status"] == "quota_exhausted"
    usage = tenant.usage(worker)
    assert nano(usage["quota"]["used"]) == cost
    tenant.admin.call("POST", f"/admin/keys/{tenant.key_row['id']}/reset-quota")
    assert tenant.post(body, worker).status_code == 200
    tenant.rows(2)
    assert tenant.post(body, worker).status_code == 429


@pytest.mark.parametrize("action, shown", [("reject", "active"), ("disable_key", "temporarily_disabled")])
def test_an_exhausted_policy_tells_when_it_recovers(make, worker: int, action: str, shown: str) -> None:
    tenant, cost = make(key={"policy": policy(1, boundary="graceful", exhausted_action=action)})
    body = tenant.body(WORDS, max_tokens=100)
    assert tenant.post(body, worker).status_code == 200
    tenant.rows(1)
    for language, part in ((None, "in about "), ("zh-CN", "后恢复")):
        refused = tenant.post(body, worker, **({"accept-language": language} if language else {}))
        assert refused.status_code == 429 and code(refused) == "token_quota_policy_exhausted"
        assert part in refused.json()["error"]["message"]
        assert 0 < int(refused.headers["retry-after"]) <= 86400

    def key() -> dict:
        return tenant.admin.get(f"/admin/keys/{tenant.key_row['id']}")

    until("its state shows", lambda: key()["display_status"] == shown)
    assert key()["status"] == "active"
    assert tenant.key_row["id"] in [row["id"] for row in tenant.admin.items("keys", display_status=shown, user_id=tenant.user["id"])]
    usage = tenant.usage(worker)
    assert nano(usage["policy"]["used"]) == cost and nano(usage["policy"]["remaining"]) == 0
    tenant.admin.call("POST", f"/admin/keys/{tenant.key_row['id']}/reset-policy")
    assert key()["display_status"] == "active" and key()["policy"]["used"] == "0"
    assert tenant.post(body, worker).status_code == 200


def test_a_policy_that_does_not_resume_needs_an_administrator(make, worker: int) -> None:
    tenant, _ = make(key={"policy": policy(1, boundary="graceful", exhausted_action="disable_key", auto_resume=False,
                                           period="custom", custom_minutes=1)})
    body = tenant.body(WORDS, max_tokens=100)
    assert tenant.post(body, worker).status_code == 200
    tenant.rows(1)
    refused = tenant.post(body, worker)
    assert code(refused) == "token_quota_policy_exhausted"
    assert "administrator" in refused.json()["error"]["message"] and "retry-after" not in refused.headers


def test_a_patch_keeps_or_changes_what_it_says(make) -> None:
    tenant, cost = make(key={"policy": policy(100 * NANO, anchor_time="2026-01-31T00:00:00Z", period="monthly")})
    body = tenant.body(WORDS, max_tokens=100)
    assert tenant.post(body).status_code == 200
    tenant.rows(1)

    def patch(**fields: object) -> dict | None:
        return tenant.admin.change("keys", tenant.key_row, **fields)["policy"]

    assert nano(patch(name="renamed")["used"]) == cost
    assert nano(patch(policy={"quota": "5"})["used"]) == cost
    assert nano(patch(policy={"boundary": "graceful"})["used"]) == cost
    changed = patch(policy={"period": "weekly"})
    assert changed["used"] == "0" and changed["anchor_time"] == "2026-01-31T00:00:00Z" and changed["quota"] == "5"
    assert tenant.post(body).status_code == 200
    tenant.rows(2)
    assert nano(tenant.admin.get(f"/admin/keys/{tenant.key_row['id']}")["policy"]["used"]) == cost
    assert patch(policy=None) is None
    assert tenant.post(body).status_code == 200


@pytest.mark.parametrize("fields, field", [
    ({"policy": {"period": "hourly", "quota": "1"}}, "policy.period"),
    ({"policy": {"period": "custom", "quota": "1"}}, "policy.custom_minutes"),
    ({"policy": {"period": "custom", "custom_minutes": 0, "quota": "1"}}, "policy.custom_minutes"),
    ({"policy": {"period": "custom", "custom_minutes": 525601, "quota": "1"}}, "policy.custom_minutes"),
    ({"policy": {"period": "daily", "custom_minutes": 5, "quota": "1"}}, "policy.custom_minutes"),
    ({"policy": {"period": "daily", "quota": "-1"}}, "policy.quota"),
    ({"policy": {"period": "daily", "quota": "0"}}, "policy.quota"),
    ({"policy": {"period": "daily", "quota": "NaN"}}, "policy.quota"),
    ({"policy": {"period": "daily", "quota": "0.0000000001"}}, "policy.quota"),
    ({"policy": {"period": "daily", "quota": "9000001"}}, "policy.quota"),
    ({"policy": {"period": "daily"}}, "policy.quota"),
    ({"policy": {"period": "daily", "quota": "1", "anchor_time": "1990-01-01T00:00:00Z"}}, "policy.anchor_time"),
    ({"policy": {"period": "daily", "quota": "1", "anchor_time": "2090-01-01T00:00:00Z"}}, "policy.anchor_time"),
    ({"policy": {"period": "daily", "quota": "1", "used": "0"}}, "policy.used"),
    ({"policy": "daily"}, "policy"),
    ({"quota": "-1"}, "quota"), ({"quota": 1.5}, "quota"), ({"quota": "1e3"}, "quota"),
])
def test_bad_input_is_refused_by_its_name_and_nothing_is_saved(shared_tenant: Tenant, fields: dict, field: str) -> None:
    path = f"/admin/keys/{shared_tenant.key_row['id']}"
    before = shared_tenant.admin.get(path)
    answer = shared_tenant.admin.send("PATCH", path, {"name": "changed", **fields})
    assert answer.status_code in (400, 422)
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert shared_tenant.admin.get(path) == before


@pytest.mark.parametrize("amount", ["-9000001", "NaN", "0", "1.0000000001", 1.5, None])
def test_bad_amounts_change_no_balance(shared_tenant: Tenant, amount: object) -> None:
    path = f"/admin/users/{shared_tenant.user['id']}"
    before = shared_tenant.admin.get(path)["balance"]
    answer = shared_tenant.admin.send("POST", path + "/balance", {"amount": amount})
    assert answer.status_code in (400, 422)
    assert [fault["field"] for fault in answer.json()["errors"]] == ["amount"]
    assert shared_tenant.admin.get(path)["balance"] == before


@pytest.mark.parametrize("start, end", [
    ("2026-12-01T00:00:00.0001Z", "2026-12-01T00:00:00.0009Z"), ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
])
def test_a_subscription_shorter_than_what_is_kept_is_refused(make, admin: Admin, start: str, end: str) -> None:
    tenant, _ = make(balance="0", group={"subscription": True})
    wanted = {"user_id": tenant.user["id"], "group_id": tenant.group["id"], "starts_at": start, "expires_at": end}
    answer = admin.send("POST", "/admin/subscriptions", wanted)
    assert answer.status_code in (400, 422), answer.text
    assert [fault["field"] for fault in answer.json()["errors"]] == ["expires_at"]


def test_a_subscription_pays_within_its_limits(make, admin: Admin, worker: int) -> None:
    tenant, cost = make(balance="0", group={"subscription": True, "daily_limit": "0.000000001"})
    body = tenant.body(WORDS, max_tokens=100)
    assert tenant.post(body, worker).status_code == 403
    made = admin.create("subscriptions", user_id=tenant.user["id"], group_id=tenant.group["id"],
                        expires_at="2099-01-01T00:00:00Z")
    assert tenant.post(body, worker).status_code == 200
    tenant.rows(1)
    refused = tenant.post(body, worker)
    assert refused.status_code == 429 and code(refused) == "subscription_limit_exceeded"
    assert 0 < int(refused.headers["retry-after"]) <= 86400
    shown = admin.get(f"/admin/subscriptions/{made['id']}")
    assert [nano(shown[f"{kind}_used"]) for kind in ("daily", "weekly", "monthly")] == [cost] * 3
    assert admin.get(f"/admin/users/{tenant.user['id']}")["balance"] == "0"
    admin.change("groups", tenant.group, daily_limit="1")
    tenant.await_workers()
    assert tenant.post(body, worker).status_code == 200
    admin.delete("subscriptions", made)
    assert tenant.post(body, worker).status_code == 403


@pytest.mark.parametrize("path, fields", [
    ("/v1/messages", {}), ("/v1/chat/completions", {}), ("/v1/responses", {"input": "hi"}),
    ("/v1beta/models/{model}:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
])
def test_each_dialect_tells_it_in_its_own_shape(make, path: str, fields: dict) -> None:
    tenant, _ = make(balance="0")
    body = fields if "generateContent" in path else {**tenant.body(WORDS), **fields}
    answer = tenant.post(body, path=path.format(model=tenant.named(WORDS)))
    assert answer.status_code == 402 and code(answer) == "insufficient_balance"
    error = answer.json()["error"]
    assert error["message"]
    if path.startswith("/v1/chat") or path.startswith("/v1/responses"):
        assert error["code"] == "insufficient_balance"
    if "v1beta" in path:
        assert error["details"][0]["reason"] == "insufficient_balance"


def test_requests_a_minute(make, worker: int) -> None:
    tenant, _ = make(key={"rpm": 2})
    body = tenant.body(WORDS)
    answers = [tenant.post(body, worker) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[1].headers["x-ratelimit-remaining-requests"] == "0"
    assert code(answers[2]) == "rate_limited" and 1 <= int(answers[2].headers["retry-after"]) <= 60


@pytest.mark.disruptive
def test_a_flushed_redis_still_knows_what_was_spent(make, stack: Stack) -> None:
    tenant, cost = make(key={"policy": policy(1, boundary="graceful"), "quota": "10"})
    body = tenant.body(WORDS, max_tokens=100)
    assert tenant.post(body).status_code == 200
    tenant.rows(1)
    counters = Counters(tenant)
    until("all is settled", lambda: counters.wallet["u"] == 0)
    before = counters.wallet["b"]
    redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL")).flushall()
    until("it is refused again", lambda: code(tenant.post(body)) == "token_quota_policy_exhausted")
    assert counters.wallet["b"] == before
    assert len(tenant.rows(1)) == 1


@pytest.mark.disruptive
@pytest.mark.timeout(300)
def test_a_killed_worker_leaves_its_bill_and_no_reservation(make, stack: Stack) -> None:
    tenant, _ = make()
    counters = Counters(tenant)
    started = threading.Event()
    pid = stack.worker_pids[1]

    def stream() -> None:
        try:
            with httpx.stream("POST", stack.gateways[1] + "/v1/messages", headers=tenant.json_headers, timeout=60,
                              trust_env=False, content=json.dumps(tenant.body("i500-o400-e300-d100", stream=True))) as answer:
                for line in answer.iter_lines():
                    if "content_block_delta" in line:
                        started.set()
        except httpx.HTTPError:
            pass

    thread = threading.Thread(target=stream)
    thread.start()
    assert started.wait(20)
    first = until("its beginning is noted", counters.checkpoints)
    until("more than its beginning is noted", lambda: counters.checkpoints() != first)
    os.kill(pid, signal.SIGKILL)
    thread.join(30)
    try:
        stack.local("start", "worker-2")
        [row] = tenant.rows(1, seconds=150)
        assert row["end"] == "worker_lost"
        assert row["input_tokens"] == 500 and row["output_tokens"] > 0
        until("nothing is reserved", lambda: counters.reserved() == 0)
        until("all is settled", lambda: counters.wallet["u"] == 0)
        balance = nano(tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"])
        assert 100 * NANO - balance == nano(row["cost"]) > 0
    finally:
        stack.local("start", "worker-2")
