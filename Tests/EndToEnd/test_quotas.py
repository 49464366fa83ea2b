"""What may be spent through an account, what a call's prices are, and what becomes of policies: as an operator sees it."""

import csv
import io
from datetime import datetime, timedelta, timezone

import anthropic
import pytest
import redis

from harness.money import NANO, Rates, nano
from harness.tenancy import Tenant, unique
from harness.waiting import until

WORDS = "i1000-o100"
TOKENS = {"input_tokens": 1000, "output_tokens": 100}


def usd(amount: int) -> str:
    return f"{amount // NANO}.{amount % NANO:09d}"


def account(tenant: Tenant, number: int = 0) -> dict:
    return tenant.admin.get(f"/admin/accounts/{tenant.accounts[number].row['id']}")


def used(tenant: Tenant, number: int = 0) -> list[int]:
    row = account(tenant, number)
    return [nano(row[f"quota_{kind}_used"]) for kind in ("daily", "weekly", "total")]


def await_used(tenant: Tenant, amount: int) -> None:
    def is_there() -> bool:
        assert used(tenant) == [amount] * 3
        return True

    until("the account's use", is_there)


@pytest.mark.parametrize("kind", ["daily", "weekly", "total"])
def test_an_account_is_left_when_its_quota_is_spent_and_used_again_after_a_reset(
    make_tenant, worker: int, kind: str
) -> None:
    tenant = make_tenant(
        accounts=[{"priority": 1, "multiplier": "2", f"quota_{kind}": "0.000000001"}, {"priority": 2}],
        group={"multiplier": "3"},
    )
    # Before the group's multiplier, after the account's.
    cost = tenant.rates.cost(TOKENS, account_multiplier="2")
    first = tenant.post(tenant.body(WORDS), worker)
    assert first.status_code == 200
    [row] = tenant.rows(1)
    assert nano(row["account_cost"]) == cost and nano(row["cost"]) == 3 * cost
    await_used(tenant, cost)

    later = [tenant.post(tenant.body(WORDS, stream=number % 2 == 1), number % 2) for number in range(4)]
    assert {answer.status_code for answer in later} == {200}
    assert len(tenant.calls(0)) == 1 and len(tenant.calls(1)) == 4
    trace = until(
        "a trace",
        lambda: tenant.admin.get(f"/admin/requests/{later[0].headers['x-request-id']}/trace"),
    )
    skipped = [entry.get("skipped") for entry in trace["candidates"] + trace.get("refusals", [])]
    assert f"quota_{kind}" in skipped, trace

    # An edit keeps what is used; more room lets calls in at once.
    changed = tenant.admin.change("accounts", tenant.accounts[0].row, **{f"quota_{kind}": usd(cost + 1)}, priority=1)
    assert [nano(changed[f"quota_{each}_used"]) for each in ("daily", "weekly", "total")] == [cost] * 3
    until("the account is used again", lambda: tenant.post(tenant.body(WORDS), worker) and len(tenant.calls(0)) >= 2)
    tenant.rows(6)
    await_used(tenant, 2 * cost)
    assert tenant.post(tenant.body(WORDS), worker).status_code == 200
    assert len(tenant.calls(0)) == 2
    reset = tenant.admin.call("POST", f"/admin/accounts/{tenant.accounts[0].row['id']}/reset-quota")
    assert [reset[f"quota_{each}_used"] for each in ("daily", "weekly", "total")] == ["0"] * 3
    assert tenant.post(tenant.body(WORDS), worker).status_code == 200
    assert len(tenant.calls(0)) == 3


def test_with_every_account_spent_there_is_503_and_calls_that_cost_nothing_count_nothing(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"quota_total": "0.000000001"}])
    assert tenant.post(tenant.body("400")).status_code == 400
    assert tenant.post(tenant.body(WORDS)).status_code == 200
    cost = tenant.rates.cost(TOKENS)
    tenant.rows(1)
    await_used(tenant, cost)
    refused = tenant.post(tenant.body(WORDS))
    assert refused.status_code == 503 and "account" in refused.json()["error"]["message"].lower()
    [listed] = [row for row in tenant.admin.items("accounts") if row["id"] == tenant.accounts[0].row["id"]]
    assert nano(listed["quota_total_used"]) == cost


@pytest.mark.disruptive
def test_a_flushed_redis_still_knows_what_was_spent_through_an_account(make_tenant, stack) -> None:
    tenant = make_tenant(accounts=[{"quota_total": "0.000000001"}])
    assert tenant.post(tenant.body(WORDS)).status_code == 200
    tenant.rows(1)
    await_used(tenant, tenant.rates.cost(TOKENS))
    redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL")).flushall()
    answers = [tenant.post(tenant.body(WORDS), number % 2) for number in range(10)]
    assert {answer.status_code for answer in answers} == {503}
    assert len(tenant.calls()) == 1
    tenant.await_workers()


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("ttl, other", [("5m", "1h"), ("1h", "5m")])
def test_cache_writes_are_shown_and_billed_in_the_class_that_the_account_says(
    make_tenant, worker: int, ttl: str, other: str, is_stream: bool
) -> None:
    tenant = make_tenant(accounts=[{"cache_ttl_override": ttl}])
    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0, timeout=30)
    body = tenant.body("i1000-o100-cr50-cw321-c1h99")
    if is_stream:
        with client.messages.stream(**body) as stream:
            started = [event for event in stream if event.type == "message_start"]
            usage = stream.get_final_message().usage
        shown = getattr(started[0].message.usage.cache_creation, f"ephemeral_{other}_input_tokens")
        assert shown == 0
    else:
        usage = client.messages.create(**body).usage
    creation = {
        "5m": usage.cache_creation.ephemeral_5m_input_tokens, "1h": usage.cache_creation.ephemeral_1h_input_tokens
    }
    assert creation == {ttl: 420, other: 0}
    assert usage.cache_creation_input_tokens == 420 and usage.cache_read_input_tokens == 50
    [row] = tenant.rows(1)
    assert row["cache_ttl_overridden"] is True
    assert row[f"cache_creation_{ttl}_tokens"] == 420 and row[f"cache_creation_{other}_tokens"] == 0
    tokens = {**TOKENS, "cache_read_tokens": 50, f"cache_creation_{ttl}_tokens": 420}
    assert nano(row["cost"]) == tenant.rates.cost(tokens)

    plain = client.messages.create(**tenant.body("i7-o3"))
    assert plain.usage.cache_creation_input_tokens == 0
    assert tenant.rows(2)[1]["cache_ttl_overridden"] is False


LONG = Rates(input="8", output="30", cache_write_5m="3.75", cache_write_1h="6", cache_read="0.6")


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_long_context_has_its_prices_for_the_whole_call(make_tenant, admin, worker: int, is_stream: bool) -> None:
    tenant = make_tenant()
    [price] = [row for row in admin.items("prices", model=tenant.model)]
    admin.change(
        "prices", price, input_above_200k="8", output_above_200k="30", cache_read_above_200k="0.6",
        max_output_tokens=500, max_input_tokens=1_000_000,
    )
    tenant.await_workers()
    for words, rates in (("i150000-o100-cr40000-cw10000", tenant.rates), ("i150000-o100-cr40001-cw10000", LONG)):
        answer = tenant.post(tenant.body(words, stream=is_stream), worker)
        row = tenant.row(answer.headers["x-request-id"])
        assert nano(row["cost"]) == rates.cost(row)
        assert row["prices"]["input"] == rates.input and row["prices"]["cache_read"] == rates.cache_read
        assert row["price_match"] == "prefix" and row["price_model"] == tenant.model
    # What a call was billed at stays with its row.
    admin.change("prices", price, input="100")
    assert tenant.row(answer.headers["x-request-id"])["prices"]["input"] == "8"


def test_a_call_without_max_tokens_reserves_what_its_model_can_give(make_tenant, admin, worker: int) -> None:
    """Two calls fit into a strict policy where the longest answer is known, and none where it is not."""
    tenant = make_tenant(accounts=[{"platform": "openai"}], group={"platform": "openai"}, family="gpt-")
    cost = tenant.rates.cost({"input_tokens": 1000, "output_tokens": 500})
    body = {"model": tenant.named("i10-o5"), "messages": [{"role": "user", "content": "Hello"}]}
    tenant.admin.change(
        "keys", tenant.key_row, policy={"period": "daily", "quota": usd(cost), "boundary": "strict"}
    )
    path = "/v1/chat/completions"

    def refused() -> bool:
        answer = tenant.post(body, worker, path)
        assert answer.headers.get("x-tollgate-code") == "token_quota_policy_exhausted", answer.text
        return True

    # Strict admission may still be waiting for the workers.
    until("the call is refused", refused)
    tenant.admin.call("POST", f"/admin/keys/{tenant.key_row['id']}/reset-policy")
    [price] = [row for row in admin.items("prices", model=tenant.model)]
    admin.change("prices", price, max_output_tokens=500)
    tenant.await_workers()
    assert tenant.post(body, worker, path).status_code == 200


def test_what_becomes_of_a_policy_is_in_the_usage_log(make_tenant, admin) -> None:
    quota = usd(1)
    tenant = make_tenant(
        key={"policy": {
            "period": "custom", "custom_minutes": 1, "quota": quota, "boundary": "graceful",
            # The window ends within some seconds.
            "anchor_time": (datetime.now(timezone.utc) - timedelta(seconds=40)).isoformat().replace("+00:00", "Z"),
        }}
    )

    def kinds(path: str = "/admin/usage", **query: object) -> list[str]:
        return [row["kind"] for row in admin.get(path, key_id=tenant.key_row["id"], **query)["items"]]

    def refused() -> bool:
        answer = tenant.post(tenant.body(WORDS))
        assert answer.status_code == 429, answer.text
        return True

    until("the policy is exhausted", refused)
    until("the exhaustion is in the log", lambda: "policy_exhausted" in kinds())
    until("the recovery is in the log", lambda: "policy_recovered" in kinds(), seconds=75)
    until("the policy is exhausted again", refused)
    until("the exhaustion is in the log", lambda: kinds(kind="policy_exhausted").count("policy_exhausted") == 2)
    admin.call("POST", f"/admin/keys/{tenant.key_row['id']}/reset-policy")
    [reset] = admin.get("/admin/usage", key_id=tenant.key_row["id"], kind="policy_reset")["items"]
    assert reset["user_id"] == tenant.user["id"] and reset["actor_id"] and reset["cost"] == "0"
    assert kinds()[0] == "policy_reset" and "call" in kinds()

    # Page by page each entry comes once.
    whole = admin.get("/admin/usage", key_id=tenant.key_row["id"])["items"]
    pages, query = [], {}
    while query is not None:
        page = admin.get("/admin/usage", key_id=tenant.key_row["id"], page_size=1, **query)
        pages += page["items"]
        query = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert pages == whole

    file = admin.send("GET", "/admin/usage.csv", params={"key_id": tenant.key_row["id"]})
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert [row["kind"] for row in rows] == [row["kind"] for row in whole]


def test_a_user_sees_what_becomes_of_its_own_policies(make_tenant, admin, stack) -> None:
    password = unique("password-")
    tenant = make_tenant(
        user={"password": password},
        key={"policy": {"period": "daily", "quota": usd(1), "boundary": "graceful", "auto_resume": False}},
    )
    assert tenant.post(tenant.body(WORDS)).status_code == 200
    tenant.rows(1)
    assert tenant.post(tenant.body(WORDS)).status_code == 429
    token = admin.call("POST", "/auth/login", {"email": tenant.user["email"], "password": password})["token"]

    def own() -> list[dict]:
        answer = admin.client.get("/usage", headers={"authorization": f"Bearer {token}"})
        assert "policy_exhausted" in [row["kind"] for row in answer.json()["items"]]
        return answer.json()["items"]

    for row in until("the user's own log", own):
        assert "actor_id" not in row and "prices" not in row and "account_id" not in row
