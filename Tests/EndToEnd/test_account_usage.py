"""How much of accounts is used: probes and their cache, degraded answers, tiers, calls paid with AI credits, test calls."""

import json
import threading

import httpx
import pytest

from harness.admin import Admin
from harness.simulator import Simulator
from harness.tenancy import Account, Tenant, create_account, unique
from harness.waiting import until

OPTIONAL = {
    "is_forbidden", "forbidden_type", "validation_url", "needs_verify", "is_banned", "needs_reauth", "error_code",
    "subscription_tier", "ai_credits",
}


@pytest.fixture
def make_account(admin: Admin, simulator: Simulator):
    made: list[Account] = []

    def make(platform: str, words: str = "", **fields: object) -> Account:
        tag = unique("usage")
        # By its beginning the simulator knows whose token it is.
        prefix = {"anthropic": "sk-ant-oat01-", "antigravity": "ya29."}.get(platform, "")
        token = prefix + tag + (f"-sim-{words}" if words else "")
        account = create_account(
            admin, simulator, tag, [],
            **{"platform": platform, "type": "oauth",
               "credentials": {"access_token": token, "refresh_token": f"rt-{tag}"}, **fields},
        )
        made.append(account)
        return account

    yield make
    for account in made:
        admin.delete("accounts", account.row)


def usage(admin: Admin, account: Account) -> dict:
    answer = admin.send("GET", f"/admin/accounts/{account.row['id']}/usage")
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(answer: httpx.Response) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def run_test(admin: Admin, account: Account, **fields: object) -> list[dict]:
    answer = admin.send("POST", f"/admin/accounts/{account.row['id']}/test", fields or None)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    return events(answer)


# Probes


def test_windows_of_a_subscription(admin, simulator, make_account) -> None:
    account = make_account("anthropic")
    figures = usage(admin, account)
    assert figures["five_hour"]["utilization"] == 42
    assert figures["seven_day"]["utilization"] == 17
    assert not OPTIONAL & figures.keys(), "what is empty is left out"
    row = admin.get(f"/admin/accounts/{account.row['id']}")
    assert row["session_window_end"] == figures["five_hour"]["resets_at"]
    assert row["session_window_start"] < row["session_window_end"]


def test_many_who_ask_share_one_question(stack, admin, simulator, make_account) -> None:
    account = make_account("anthropic")
    simulator.arm("slow400", account.secret)
    answers: list[dict] = []

    def ask() -> None:
        answer = httpx.get(
            f"{stack.admin_url}/api/v1/admin/accounts/{account.row['id']}/usage",
            headers={"authorization": admin.client.headers["authorization"]}, timeout=30, trust_env=False,
        )
        answers.append(answer.json())

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["five_hour"]["utilization"] for answer in answers] == [42] * 10
    usage(admin, account)
    assert [call.path for call in simulator.calls(account.secret)] == ["/api/oauth/usage"]


@pytest.mark.parametrize(
    "tier, shown",
    [("g1-ultra-tier", "ULTRA"), ("G1-PRO-TIER", "PRO"), ("free-tier", "FREE"), ("standard-tier", "UNKNOWN")],
)
def test_tiers_and_credits(admin, simulator, make_account, tier: str, shown: str) -> None:
    account = make_account("antigravity")
    simulator._send("POST", "credits", {"credential": account.secret, "amount": 123, "tier": tier})
    simulator._send("POST", "usage", {"credential": account.secret, "models": {"gemini-3-pro-high": 0}})
    figures = usage(admin, account)
    assert figures["subscription_tier"] == shown
    assert figures["models"]["gemini-3-pro-high"]["utilization"] == 100
    assert figures["models"]["gemini-2.5-flash"]["utilization"] == 42
    if tier == "free-tier":
        assert "ai_credits" not in figures
    else:
        assert figures["ai_credits"] == [{"credit_type": "GOOGLE_ONE_AI", "amount": 123, "minimum_balance": 10}]
    assert admin.get(f"/admin/accounts/{account.row['id']}")["subscription_tier"] == shown


@pytest.mark.parametrize(
    "words, code",
    [("401", "unauthenticated"), ("403", "forbidden"), ("429", "rate_limited"), ("500", "network_error"),
     ("reset", "network_error"), ("garbage", "network_error")],
)
@pytest.mark.parametrize("platform", ["anthropic", "antigravity"])
def test_a_failed_probe_is_no_error_of_ours(admin, make_account, platform: str, words: str, code: str) -> None:
    account = make_account(platform, words)
    figures = usage(admin, account)
    assert figures["error_code"] == code
    assert figures.get("needs_reauth", False) == (code == "unauthenticated")
    assert figures.get("is_forbidden", False) == (code == "forbidden")
    # It is cached like an answer.
    assert usage(admin, account) == figures


def test_what_a_refusal_asks_for(admin, simulator, make_account) -> None:
    account = make_account("antigravity", "403validation")
    figures = usage(admin, account)
    assert figures["forbidden_type"] == "validation" and figures["needs_verify"] is True
    assert figures["validation_url"].startswith("https://accounts.google.com/")
    banned = usage(admin, make_account("antigravity", "403violation"))
    assert banned["forbidden_type"] == "violation" and banned["is_banned"] is True


# Heads


def login(platform: str, token: str, **fields: object) -> dict:
    return {"platform": platform, "type": "oauth", "credentials": {"access_token": token, "refresh_token": "rt-" + token},
            **fields}


def test_heads_of_answers_tell_windows(make_tenant, admin) -> None:
    token = "sk-ant-oat01-" + unique("heads")
    tenant: Tenant = make_tenant(accounts=[login("anthropic", token)])
    assert tenant.post(tenant.body("i3-o4")).status_code == 200
    path = f"/admin/accounts/{tenant.accounts[0].row['id']}"
    row = until("the session window", lambda: (lambda row: row if row["session_window_end"] else None)(admin.get(path)))
    assert row["session_window_start"] < row["session_window_end"]
    # No probe was needed for it.
    assert all(call.path == "/v1/messages" for call in tenant.calls(0))


def test_openai_windows_come_from_heads_alone(make_tenant, admin) -> None:
    token = unique("chatgpt-")
    tenant: Tenant = make_tenant(
        accounts=[{**login("openai", token), "credentials": {"access_token": token, "refresh_token": "rt-" + token}}],
        group={"platform": "openai"}, family="gpt-",
    )
    account = tenant.accounts[0]
    admin.change("accounts", account.row, credentials={"base_url": tenant.simulator.url + "/backend-api/codex"})
    tenant.await_workers()
    body = {"model": tenant.named("i3-o4"), "input": "Hello", "max_output_tokens": 100}
    answer = tenant.post(body, path="/v1/responses")
    assert answer.status_code == 200, answer.text

    def figures() -> dict:
        figures = usage(admin, account)
        assert figures["five_hour"], figures
        return figures

    found = until("the sample of x-codex-*", figures)
    assert found["five_hour"]["utilization"] == 42 and found["seven_day"]["utilization"] == 17


# Credits


def gemini(tenant: Tenant, model: str, worker: int = 0) -> httpx.Response:
    return httpx.post(
        f"{tenant.gateway(worker)}/antigravity/v1beta/models/{model}:generateContent",
        headers={"x-goog-api-key": tenant.key}, json={"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        timeout=30, trust_env=False,
    )


def carries_credits(call) -> bool:
    return json.loads(call.body).get("enabledCreditTypes") == ["GOOGLE_ONE_AI"]


def antigravity_tenant(make_tenant, *accounts: dict) -> Tenant:
    return make_tenant(accounts=list(accounts), group={"platform": "antigravity"}, family="gemini-")


def test_a_limited_model_is_paid_with_credits(make_tenant, admin, simulator, worker: int) -> None:
    token = "ya29." + unique("credits")
    tenant = antigravity_tenant(make_tenant, login("antigravity", token, allow_overages=True))
    simulator._send("POST", "credits", {"credential": token, "amount": 25})
    model = tenant.named("429model600")
    assert gemini(tenant, model, worker).status_code == 429
    # From now on each call says from the start that it may cost credits, on the other worker as well.
    assert gemini(tenant, model, worker).status_code == 200
    assert gemini(tenant, model, 1 - worker).status_code == 200
    assert [carries_credits(call) for call in tenant.calls(0)] == [False, True, True]
    path = f"/admin/accounts/{tenant.accounts[0].row['id']}"
    until("credits shown as active", lambda: admin.get(path)["credits_state"] == "credits_active")
    # Twenty of twenty-five are spent: what is left is too little for one more.
    assert gemini(tenant, model, worker).status_code == 429
    until("credits shown as exhausted", lambda: admin.get(path)["credits_state"] == "credits_exhausted")
    asked = len(tenant.calls(0))
    assert gemini(tenant, model, 1 - worker).status_code == 503
    assert len(tenant.calls(0)) == asked
    # Another model is within the plan: it costs none and is served.
    assert gemini(tenant, tenant.named("o3"), worker).status_code == 200
    assert not carries_credits(tenant.calls(0)[-1])


def test_without_credits_another_account_takes_over(make_tenant, admin, simulator) -> None:
    first, second = "ya29." + unique("broke"), "ya29." + unique("rich")
    tenant = antigravity_tenant(
        make_tenant,
        login("antigravity", first, allow_overages=True, priority=1),
        login("antigravity", second, allow_overages=True, priority=2),
    )
    simulator._send("POST", "credits", {"credential": first, "amount": 0})
    model = tenant.named("429model600")
    # Nobody has any of the plan left; the second account pays.
    for _ in range(3):
        gemini(tenant, model)
    assert gemini(tenant, model).status_code == 200
    assert carries_credits(tenant.calls(1)[-1])
    path = f"/admin/accounts/{tenant.accounts[0].row['id']}"
    limits = until("the limit of credits", lambda: admin.get(path)["model_limits"].get("AICredits"))
    assert limits


def test_nobody_pays_who_does_not_want_to(make_tenant) -> None:
    token = "ya29." + unique("thrifty")
    tenant = antigravity_tenant(make_tenant, login("antigravity", token))
    model = tenant.named("429model600")
    assert gemini(tenant, model).status_code == 429
    assert gemini(tenant, model).status_code == 503
    assert [carries_credits(call) for call in tenant.calls(0)] == [False]


# Test calls


@pytest.mark.parametrize(
    "platform, kind", [("anthropic", "oauth"), ("anthropic", "apikey"), ("openai", "apikey"), ("gemini", "apikey"),
                       ("gemini", "oauth"), ("antigravity", "oauth")],
)
def test_a_test_call_streams_its_steps(admin, simulator, make_account, platform: str, kind: str) -> None:
    fields = {} if kind == "oauth" else {"type": kind, "credentials": {"api_key": unique("k-")}}
    account = make_account(platform, **fields)
    told = run_test(admin, account)
    assert [event.get("step") for event in told if event["type"] == "step"] == ["credentials", "request", "answer"]
    assert "hello" in "".join(event.get("text", "") for event in told).lower()
    assert told[-1]["type"] == "end" and told[-1]["success"] is True
    assert len(simulator.calls(account.secret)) == 1


def test_a_test_call_marks_and_mends(make_tenant, admin, simulator) -> None:
    tenant: Tenant = make_tenant()
    account = tenant.accounts[0]
    simulator.arm("401", account.secret)
    told = run_test(admin, account, model=tenant.model)
    assert told[-1]["type"] == "error" and told[-1]["status"] == 401 and told[-1]["marked_error"] is True
    row = admin.get(f"/admin/accounts/{account.row['id']}")
    assert row["status"] == "error" and row["error_message"].startswith("401")
    until("no account serves", lambda: tenant.post(tenant.body()).status_code == 503)

    told = run_test(admin, account, model=tenant.model)
    assert told[-1]["type"] == "end" and told[-1]["recovered"] is True
    assert admin.get(f"/admin/accounts/{account.row['id']}")["status"] == "active"
    for worker in (0, 1):
        until("the account serves again", lambda: tenant.post(tenant.body(), worker).status_code == 200)


def test_a_test_call_ends_flags(make_tenant, admin, simulator) -> None:
    tenant: Tenant = make_tenant()
    account = tenant.accounts[0]
    simulator.arm("429retry600", account.secret)
    assert tenant.post(tenant.body()).status_code == 429
    assert tenant.post(tenant.body()).status_code == 503
    path = f"/admin/accounts/{account.row['id']}"
    until("the limit is shown", lambda: admin.get(path)["rate_limited_until"])
    assert run_test(admin, account, model=tenant.model)[-1]["type"] == "end"
    assert admin.get(path)["rate_limited_until"] is None
    for worker in (0, 1):
        until("the account serves again", lambda: tenant.post(tenant.body(), worker).status_code == 200)
