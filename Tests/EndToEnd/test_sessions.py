"""A conversation stays on its account, in every dialect and on every worker; groups share nothing."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.tenancy import Tenant, unique

DIALECTS = ["anthropic", "openai chat", "openai responses", "gemini"]


def ask(tenant: Tenant, dialect: str, turns: list[str], worker: int = 0, system: str = "Be brief.",
        agent: str = "conversation/1", name: str | None = None, **headers: str) -> httpx.Response:
    """A call with these turns, the caller's and the model's in turn; `name` is what the dialect calls a session."""
    roles = itertools.cycle(["user", "assistant"])
    talk = list(zip(roles, turns))
    messages = [{"role": role, "content": text} for role, text in talk]
    model = tenant.named("i5-o6")
    path = "/v1/messages"
    if dialect == "anthropic":
        body = {"model": model, "max_tokens": 100, "system": system, "messages": messages}
        if name:
            body["metadata"] = {"user_id": f"user_{'0' * 64}_account__session_{name}"}
    elif dialect == "openai chat":
        path = "/v1/chat/completions"
        body = {"model": model, "messages": [{"role": "system", "content": system}, *messages]}
    elif dialect == "openai responses":
        path = "/v1/responses"
        body = {"model": model, "instructions": system, "input": messages}
    else:
        path = f"/v1beta/models/{model}:generateContent"
        body = {
            "systemInstruction": {"parts": [{"text": system}]},
            "contents": [
                {"role": "user" if role == "user" else "model", "parts": [{"text": text}]} for role, text in talk
            ],
        }
    if name and dialect.startswith("openai"):
        body["prompt_cache_key"] = name
    answer = tenant.post(body, worker, path, **{"user-agent": agent, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def placed(tenant: Tenant, call: Callable[[], object]) -> int:
    """Which account answered a call."""
    before = [len(tenant.calls(index)) for index in range(len(tenant.accounts))]
    call()
    after = [len(tenant.calls(index)) for index in range(len(tenant.accounts))]
    [account] = [index for index in range(len(after)) if after[index] > before[index]]
    return account


def prefer(tenant: Tenant, best: int) -> None:
    """From now on this account is the best of all."""
    for index, account in enumerate(tenant.accounts):
        tenant.admin.change("accounts", account.row, priority=1 if index == best else 50 + index)
    tenant.await_workers()


def three(make_tenant, **fields: object) -> Tenant:
    return make_tenant(accounts=[{"priority": index, **fields} for index in range(3)])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_growing_conversation_stays_on_its_account(make_tenant, dialect: str) -> None:
    tenant = three(make_tenant)
    turns = ["Hello there"]
    assert placed(tenant, lambda: ask(tenant, dialect, turns)) == 0
    prefer(tenant, 1)
    for number in range(6):
        turns += [f"Answer {number}", f"Question {number}"]
        assert placed(tenant, lambda: ask(tenant, dialect, turns, number % 2)) == 0
    # An answer that is asked for again, and a turn that was thought better of.
    assert placed(tenant, lambda: ask(tenant, dialect, turns, 1)) == 0
    assert placed(tenant, lambda: ask(tenant, dialect, [*turns[:5][:4], "Another question"], 1)) == 0
    # Others go where it is best.
    assert placed(tenant, lambda: ask(tenant, dialect, ["Something else"])) == 1
    assert placed(tenant, lambda: ask(tenant, dialect, turns, system="Be long.")) == 1
    assert placed(tenant, lambda: ask(tenant, dialect, turns, agent="another/1")) == 1


@pytest.mark.parametrize("dialect", DIALECTS[:3])
def test_a_named_session_stays_whatever_is_said(make_tenant, dialect: str) -> None:
    tenant = three(make_tenant)
    name, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert placed(tenant, lambda: ask(tenant, dialect, ["One"], name=name)) == 0
    prefer(tenant, 2)
    for number, worker in enumerate([0, 1, 0, 1]):
        text = [f"Topic {number}"]
        assert placed(tenant, lambda: ask(tenant, dialect, text, worker, name=name, agent=f"a/{number}")) == 0
    assert placed(tenant, lambda: ask(tenant, dialect, ["One"], name=other)) == 2


def test_the_forms_of_a_session_id(make_tenant) -> None:
    tenant = three(make_tenant)
    name = str(uuid.uuid4())

    def anthropic(user_id: str) -> int:
        return placed(tenant, lambda: tenant.post(tenant.body(text=unique("t"), metadata={"user_id": user_id})))

    def openai(**headers: str) -> int:
        return placed(tenant, lambda: ask(tenant, "openai chat", [unique("t")], 1, **headers))

    assert anthropic(f"user_{'a' * 64}_account_{uuid.uuid4()}_session_{name}") == 0
    assert openai(session_id="s-1") == 0
    assert openai(conversation_id="c-1") == 0
    prefer(tenant, 1)
    assert anthropic('{"device_id":"d","account_uuid":"","session_id":"%s"}' % name) == 0
    assert openai(session_id="s-1") == 0
    assert openai(conversation_id="c-1") == 0
    assert openai(session_id="s-2") == 1
    assert openai(**{"session-id": "s-1"}) == 0


def test_marked_content_names_a_session(make_tenant) -> None:
    tenant = three(make_tenant)

    def marked(text: str, question: str, worker: int = 0) -> int:
        system = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
        body = tenant.body(text=question, system=system)
        return placed(tenant, lambda: tenant.post(body, worker, **{"user-agent": "marking/1.0"}))

    assert marked("A long text", "one") == 0
    prefer(tenant, 1)
    assert marked("A long text", "two", 1) == 0
    assert marked("Another text", "one") == 1


def test_calls_of_a_new_session_at_once_end_up_on_one_account(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"priority": 5} for _ in range(4)])
    for _ in range(5):
        tenant.forget_calls()
        name = str(uuid.uuid4())
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda number: ask(tenant, "anthropic", ["Hi"], number % 2, name=name), range(16)))
        assert sorted(len(tenant.calls(index)) for index in range(4)) == [0, 0, 0, 16]


def test_groups_have_sessions_of_their_own(make_tenant) -> None:
    tenant = three(make_tenant)
    admin = tenant.admin
    other = admin.create("groups", name=unique("g"), platform="anthropic")
    try:
        for account in tenant.accounts:
            admin.change("accounts", account.row, group_ids=[tenant.group["id"], other["id"]])
        tenant.await_workers()
        name = str(uuid.uuid4())
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], name=name)) == 0
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Ho"])) == 0
        prefer(tenant, 1)
        admin.change("keys", tenant.key_row, group_id=other["id"])
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], name=name)) == 1
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Ho"])) == 1
        admin.change("keys", tenant.key_row, group_id=tenant.group["id"])
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], 1, name=name)) == 0
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Ho", "Hey", "What"], 1)) == 0
    finally:
        for account in tenant.accounts:
            admin.change("accounts", account.row, group_ids=[tenant.group["id"]])
        admin.delete("groups", other)


def in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def wait_for_call(tenant: Tenant, count: int) -> None:
    from harness.waiting import until

    until("the call is at its account", lambda: len(tenant.calls(0)) >= count)


def test_a_full_account_is_waited_for(make_tenant) -> None:
    tenant = three(make_tenant, concurrency=1)
    name = str(uuid.uuid4())
    assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], name=name)) == 0
    # Another call holds the only slot for more than a second, on the other worker.
    other = in_background(lambda: tenant.post(tenant.body("slow1200", text=unique("t")), 1))
    wait_for_call(tenant, 2)
    ask(tenant, "anthropic", ["Hi again"], name=name)
    other.join()
    assert [len(tenant.calls(index)) for index in range(3)] == [3, 0, 0]


def test_a_full_account_is_left_after_three_seconds_and_not_forgotten(make_tenant) -> None:
    tenant = three(make_tenant, concurrency=1)
    name = str(uuid.uuid4())
    assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], name=name)) == 0
    other = in_background(lambda: tenant.post(tenant.body("slow9000", text=unique("t")), 1))
    wait_for_call(tenant, 2)
    begin = time.monotonic()
    ask(tenant, "anthropic", ["Hi again"], name=name)
    assert 2.8 < time.monotonic() - begin < 8
    assert [len(tenant.calls(index)) for index in range(3)] == [2, 1, 0]
    other.join()
    ask(tenant, "anthropic", ["Once more"], 1, name=name)
    assert [len(tenant.calls(index)) for index in range(3)] == [3, 1, 0]


@pytest.mark.parametrize("why", ["inactive", "unschedulable", "another group", "failing"])
def test_an_account_that_cannot_serve_loses_the_session(make_tenant, why: str) -> None:
    tenant = three(make_tenant)
    admin, first = tenant.admin, tenant.accounts[0]
    name = str(uuid.uuid4())
    assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], name=name)) == 0
    if why == "failing":
        tenant.simulator.arm("500", first.secret, count=1)
        ask(tenant, "anthropic", ["Hi"], name=name)
        assert [len(tenant.calls(index)) for index in range(2)] == [2, 1]
    else:
        group = admin.create("groups", name=unique("g"), platform="anthropic")
        change, back = {
            "inactive": ({"status": "inactive"}, {"status": "active"}),
            "unschedulable": ({"schedulable": False}, {"schedulable": True}),
            "another group": ({"group_ids": [group["id"]]}, {"group_ids": [tenant.group["id"]]}),
        }[why]
        admin.change("accounts", first.row, **change)
        tenant.await_workers()
        assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], name=name)) == 1
        admin.change("accounts", first.row, **back)
        tenant.await_workers()
        admin.delete("groups", group)
    assert placed(tenant, lambda: ask(tenant, "anthropic", ["Hi"], 1, name=name)) == 1


# Groups for Claude Code only

CLAUDE_CODE = {"user-agent": "Claude-CLI/2.1.4 (external, cli)"}
OTHER = {"user-agent": "curl/8.5.0"}


def test_other_programs_are_refused_without_a_fallback(make_tenant, worker: int) -> None:
    tenant = make_tenant(group={"claude_code_only": True})
    assert tenant.post(tenant.body(), worker, **CLAUDE_CODE).status_code == 200
    for agent in ["curl/8.5.0", "claude-cli/1.2", "not claude-cli/1.2.3"]:
        refused = tenant.post(tenant.body(), worker, **{"user-agent": agent})
        assert refused.status_code == 403
        assert refused.headers["x-tollgate-code"] == "claude_code_only"
        assert refused.json()["error"]["type"] == "permission_error"
        assert tenant.get("/v1/models", worker, **{"user-agent": agent}).status_code == 403
    tenant.rows(1)


def test_other_programs_get_the_fallback_group_and_its_bill(make_tenant, worker: int) -> None:
    fallback = make_tenant(group={"multiplier": "3"})
    tenant = make_tenant(group={"claude_code_only": True, "fallback_group_id": fallback.group["id"]})
    try:
        assert tenant.post(tenant.body("i5-o6"), worker, **CLAUDE_CODE).status_code == 200
        assert tenant.post(tenant.body("i5-o6"), worker, **OTHER).status_code == 200
        assert [len(tenant.calls()), len(fallback.calls())] == [1, 1]
        own, other = tenant.rows(2)
        assert (own["group_id"], other["group_id"]) == (tenant.group["id"], fallback.group["id"])
        assert (own["account_id"], other["account_id"]) == (
            tenant.accounts[0].row["id"], fallback.accounts[0].row["id"],
        )
        assert own["key_id"] == other["key_id"] == tenant.key_row["id"]
        assert float(other["multiplier"]) == 3 and float(own["multiplier"]) == 1
        # The fallback may not become one for Claude Code only while it is needed.
        answer = tenant.admin.send("PATCH", f"/admin/groups/{fallback.group['id']}", {"claude_code_only": True})
        assert answer.status_code == 409
    finally:
        tenant.admin.change("groups", tenant.group, fallback_group_id=None)
