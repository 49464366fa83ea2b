"""Bytes pass through: what the caller wrote is what the account gets, and back, but for the model's name."""

import json

import httpx
import pytest

from harness.events import parse_events
from harness.raw import exchange, request
from harness.tenancy import Tenant


@pytest.fixture
def tenant(shared_tenant: Tenant) -> Tenant:
    return shared_tenant

ODD_BODIES = {
    "plain": '{"model":"MODEL","max_tokens":64,"messages":[{"role":"user","content":"Hi"}]}',
    "whitespace": ' \n{ "model" :\t"MODEL" ,\r\n  "max_tokens":64,"messages" : [ {"role":"user","content":"Hi"} ] }\n\n ',
    "order": '{"messages":[{"content":"Hi","role":"user"}],"max_tokens":64,"model":"MODEL"}',
    "escapes": '{"model":"MODEL","max_tokens":64,"messages":[{"role":"user",'
    '"content":"\\u00e9\\ud83d\\ude00 \\/ \\u0041 \\"q\\" \\t\\n \\u0000 \\ud800"}]}',
    "raw unicode": '{"model":"MODEL","max_tokens":64,"messages":[{"role":"user","content":"é😀東京\u2028\u2029"}]}',
    "unknown fields": '{"x-future":{"a":[1,2.50,1e3,-0,0.10,12345678901234567890]},"model":"MODEL","max_tokens":64,'
    '"messages":[{"role":"user","content":"Hi","unknown":null}],"later":[[],{},""]}',
    "decoys": '{"metadata":{"model":"no","user_id":"\\"model\\":\\"MODEL\\""},"model":"MODEL","max_tokens":64,'
    '"messages":[{"role":"user","content":"{\\"model\\":\\"MODEL\\"}"}]}',
    "numbers": '{"model":"MODEL","max_tokens":64,"temperature":1.0,"top_p":0.9500,"messages":'
    '[{"role":"user","content":"Hi"}]}',
    "deep": '{"model":"MODEL","max_tokens":64,"messages":[{"role":"user","content":"Hi"}],"deep":'
    + "[" * 60 + "1" + "]" * 60 + "}",
}


def send(tenant: Tenant, worker: int, body: bytes, path: str = "/v1/messages"):
    return exchange(tenant.gateway(worker), request("POST", path, tenant.json_headers, body))


@pytest.mark.parametrize("name", ODD_BODIES)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_the_account_receives_the_callers_bytes(tenant: Tenant, worker: int, name: str, path: str) -> None:
    body = ODD_BODIES[name].replace("MODEL", tenant.model).encode()
    answer = send(tenant, worker, body, path)
    assert answer.status == 200, answer.body
    assert tenant.calls()[-1].body == body


@pytest.mark.parametrize("name", ODD_BODIES)
def test_a_mapped_model_is_spliced_and_nothing_else_changes(make_tenant, worker: int, name: str) -> None:
    tenant = make_tenant(accounts=[])
    tenant.add_account(model_mapping={tenant.model: f"{tenant.model}-upstream"})
    tenant.await_workers()
    body = ODD_BODIES[name].replace("MODEL", tenant.model)
    assert send(tenant, worker, body.encode()).status == 200
    received = tenant.calls()[-1].body.decode()
    # The one place where the model's name is the value of the member itself.
    assert received.replace(f'"{tenant.model}-upstream"', f'"{tenant.model}"') == body
    assert json.loads(received)["model"] == f"{tenant.model}-upstream"
    if name == "decoys":
        assert json.loads(received)["metadata"] == json.loads(body)["metadata"]
        assert json.loads(received)["messages"] == json.loads(body)["messages"]


def test_an_escaped_member_name_is_the_model_too(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[])
    tenant.add_account(model_mapping={tenant.model: f"{tenant.model}-upstream"})
    tenant.await_workers()
    body = '{"mod\\u0065l":"%s","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}' % tenant.model
    answer = send(tenant, worker, body.encode())
    assert answer.status == 200, answer.body
    assert json.loads(tenant.calls()[-1].body)["model"] == f"{tenant.model}-upstream"


def test_wildcards_map_whole_families(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[])
    tenant.add_account(model_mapping={f"{tenant.model}-*": f"{tenant.model}-upstream"})
    tenant.await_workers()
    answer = tenant.post({**tenant.body(), "model": f"{tenant.model}-anything"}, worker)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == f"{tenant.model}-anything"
    assert json.loads(tenant.calls()[-1].body)["model"] == f"{tenant.model}-upstream"


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_the_answers_bytes_are_the_accounts(tenant: Tenant, worker: int, is_stream: bool) -> None:
    """The simulator answers the same body with the same bytes, so what it says directly is what must come through."""
    body = json.dumps(tenant.body("e20", text="Grüße 😀", stream=is_stream), ensure_ascii=False).encode()
    direct = httpx.post(
        tenant.simulator.url + "/v1/messages", content=body, timeout=15, trust_env=False,
        headers={**tenant.json_headers, "x-api-key": tenant.accounts[0].secret},
    )
    through = send(tenant, worker, body)
    assert through.status == 200
    assert through.body == direct.content
    assert through.head.get("content-type") == direct.headers["content-type"]


def test_the_answers_model_is_the_callers_name(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[])
    tenant.add_account(model_mapping={f"{tenant.model}*": f"{tenant.model}-upstream-sim-e8"})
    tenant.await_workers()
    whole = tenant.post(tenant.body(), worker)
    assert whole.json()["model"] == tenant.model
    stream = send(tenant, worker, json.dumps(tenant.body(stream=True)).encode())
    events = parse_events(stream.body)
    assert events[0].value["message"]["model"] == tenant.model
    assert b"upstream-sim" not in stream.body
    [*_, row] = tenant.rows(2)
    assert (row["model"], row["upstream_model"]) == (tenant.model, f"{tenant.model}-upstream-sim-e8")


def test_only_the_models_name_differs_in_a_mapped_answer(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[])
    upstream = f"{tenant.model}-upstream-sim-e12"
    tenant.add_account(model_mapping={tenant.model: upstream})
    tenant.await_workers()
    for is_stream in (False, True):
        body = json.dumps(tenant.body(text=f"my model is {upstream}", stream=is_stream)).encode()
        through = send(tenant, worker, body)
        direct = httpx.post(
            tenant.simulator.url + "/v1/messages", content=tenant.calls()[-1].body, timeout=15,
            trust_env=False,
            headers={**tenant.json_headers, "x-api-key": tenant.accounts[0].secret},
        )
        # Once, at its place: the text that happens to say the same stays as it is.
        assert through.body == direct.content.replace(f'"model":"{upstream}"'.encode(), f'"model":"{tenant.model}"'.encode(), 1)


def test_duplicate_members_are_refused(tenant: Tenant, worker: int) -> None:
    """Two readers of such a body may disagree on which model is meant, so it is not forwarded."""
    body = '{"model":"%s","model":"claude-other","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
    answer = send(tenant, worker, (body % tenant.model).encode())
    assert answer.status == 400
    assert tenant.calls() == []


def test_headers_that_are_the_callers_pass_and_others_do_not(tenant: Tenant, worker: int) -> None:
    headers = {
        "anthropic-beta": "files-api-2025-04-14",
        "user-agent": "my-program/1.0",
        "cookie": "session=secret",
        "x-forwarded-for": "192.0.2.7",
        "x-custom": "1",
        "accept-encoding": "gzip, br, zstd",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
    }
    answer = exchange(
        tenant.gateway(worker),
        request("POST", "/v1/messages", {**tenant.json_headers, **headers}, json.dumps(tenant.body()).encode()),
    )
    assert answer.status == 200
    call = tenant.calls()[-1]
    assert call.header("x-api-key") == tenant.accounts[0].secret
    assert call.header("anthropic-version") == "2023-06-01"
    assert call.header("anthropic-beta") == "files-api-2025-04-14"
    for name in ("cookie", "x-forwarded-for", "x-custom", "x-hop", "authorization"):
        assert call.header(name) is None, name
    assert tenant.key not in str(call.headers)
    assert (call.header("accept-encoding") or "identity") == "identity"


def test_the_accounts_identity_does_not_leak(tenant: Tenant, worker: int) -> None:
    answer = send(tenant, worker, json.dumps(tenant.body()).encode())
    names = {name.lower() for name, _ in answer.head.headers}
    for name in ("set-cookie", "alt-svc", "anthropic-organization-id", "cf-cache-status", "server"):
        assert name not in names, name
    assert not [name for name in names if name.startswith("anthropic-ratelimit-")]
    assert tenant.accounts[0].secret.encode() not in answer.body
    assert answer.head.get("x-request-id")


def test_header_overrides_of_an_account(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[{"header_overrides": {"x-team": "blue"}}])
    assert tenant.post(tenant.body(), worker).status_code == 200
    assert tenant.calls()[-1].header("x-team") == "blue"


def test_a_large_body_arrives_whole(tenant: Tenant, worker: int) -> None:
    body = json.dumps(tenant.body(text="0123456789" * 500_000)).encode()
    answer = send(tenant, worker, body)
    assert answer.status == 200, answer.body[:500]
    through = tenant.calls()[-1]
    httpx.post(
        tenant.simulator.url + "/v1/messages", content=body, timeout=15, trust_env=False,
        headers={**tenant.json_headers, "x-api-key": tenant.accounts[0].secret},
    )
    direct = tenant.calls()[-1]
    assert through.body_bytes == len(body)
    assert through.body_digest == direct.body_digest


def test_a_large_answer_arrives_whole(tenant: Tenant, worker: int) -> None:
    for is_stream in (False, True):
        answer = send(tenant, worker, json.dumps(tenant.body("b3000000", stream=is_stream)).encode())
        assert answer.status == 200
        if is_stream:
            deltas = [event.value["delta"] for event in parse_events(answer.body) if event.name == "content_block_delta"]
            assert sum(len(delta.get("text", "")) for delta in deltas) == 3_000_000
        else:
            assert len(json.loads(answer.body)["content"][0]["text"]) == 3_000_000


def test_a_huge_event_passes(tenant: Tenant, worker: int) -> None:
    answer = send(tenant, worker, json.dumps(tenant.body("hugeevent4-o77", stream=True)).encode())
    assert answer.status == 200
    assert len(answer.body) > 4 << 20
    assert tenant.row(answer.head.get("x-request-id"))["output_tokens"] == 77
