"""HTTP/2 from callers, on the same port as HTTP/1.1, and towards accounts."""

import json
import subprocess

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest

from harness.events import parse_events
from harness.raw import Closed, RawConnection
from harness.tenancy import Tenant


@pytest.fixture
def tenant(shared_tenant: Tenant) -> Tenant:
    return shared_tenant


def client() -> httpx.Client:
    # No HTTP/1.1: on plain TCP that means prior knowledge.
    return httpx.Client(http1=False, http2=True, timeout=30, trust_env=False)


def test_a_call_over_http2(tenant: Tenant, worker: int) -> None:
    with client() as caller:
        answer = caller.post(tenant.gateway(worker) + "/v1/messages", headers=tenant.json_headers, json=tenant.body())
    assert answer.http_version == "HTTP/2"
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]


def test_a_stream_over_http2(tenant: Tenant, worker: int) -> None:
    with client() as caller, caller.stream(
        "POST", tenant.gateway(worker) + "/v1/messages", headers=tenant.json_headers, json=tenant.body("e30-d5", stream=True)
    ) as answer:
        body = answer.read()
    assert parse_events(body)[-1].name == "message_stop"
    assert tenant.row(answer.headers["x-request-id"])["end"] == "complete"


def test_the_bytes_are_the_same_as_over_http1(tenant: Tenant, worker: int) -> None:
    body = json.dumps(tenant.body("e15", stream=True)).encode()
    first = tenant.post(body, worker)
    with client() as caller:
        second = caller.post(tenant.gateway(worker) + "/v1/messages", headers=tenant.json_headers, content=body)
    assert first.content == second.content
    assert tenant.calls()[0].body == tenant.calls()[1].body == body


def test_many_streams_on_one_connection(tenant: Tenant, worker: int) -> None:
    import asyncio

    async def run() -> list[str]:
        async with httpx.AsyncClient(http1=False, http2=True, timeout=60, trust_env=False) as caller:
            calls = [
                caller.post(
                    tenant.gateway(worker) + "/v1/messages", headers=tenant.json_headers,
                    json=tenant.body("e10-d5", stream=number % 2 == 0, text=f"stream {number}"),
                )
                for number in range(50)
            ]
            answers = await asyncio.gather(*calls)
            for number, answer in enumerate(answers):
                assert answer.status_code == 200
                # Each got its own answer: the whole ones repeat their text in one piece.
                assert number % 2 == 0 or f"stream {number}" in answer.text
            return [answer.headers["x-request-id"] for answer in answers]

    identifiers = asyncio.run(run())
    assert len(set(identifiers)) == 50
    for request_id in identifiers:
        assert tenant.row(request_id)["end"] == "complete"


def test_errors_over_http2(tenant: Tenant, worker: int) -> None:
    with client() as caller:
        base = tenant.gateway(worker)
        assert caller.post(base + "/v1/messages", headers=tenant.json_headers, content=b"{").status_code == 400
        assert caller.post(base + "/v1/messages", content=b"{}").status_code == 401
        assert caller.get(base + "/nowhere", headers=tenant.headers).status_code == 404
        assert caller.get(base + "/v1/messages", headers=tenant.headers).status_code == 405
        # The connection has survived them all.
        assert caller.post(base + "/v1/messages", headers=tenant.json_headers, json=tenant.body()).status_code == 200


def test_curl_speaks_it_too(tenant: Tenant, worker: int) -> None:
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}", "-H", f"x-api-key: {tenant.key}",
         "-H", "anthropic-version: 2023-06-01", "-d", json.dumps(tenant.body()), tenant.gateway(worker) + "/v1/messages"],
        capture_output=True, text=True, timeout=30,
    )
    assert done.stdout.endswith("\n2 200"), done.stdout + done.stderr


class H2Caller:
    """A caller that does to HTTP/2 what no library would."""

    def __init__(self, url: str) -> None:
        self.wire = RawConnection(url)
        self.session = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.session.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.wire.send(self.session.data_to_send())

    def open(self, headers: list[tuple[str, str]], body: bytes = b"", end: bool = True) -> int:
        stream = self.session.get_next_available_stream_id()
        self.session.send_headers(stream, headers, end_stream=end and not body)
        if body:
            self.session.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def events(self):
        """Events until the peer closes."""
        while True:
            try:
                data = self.wire.receive()
            except Closed:
                return
            yield from self.session.receive_data(data)
            if pending := self.session.data_to_send():
                try:
                    self.wire.send(pending)
                except OSError:
                    return

    def answer_of(self, stream: int) -> str | None:
        """The stream's status; None when it was reset or the connection ended."""
        for event in self.events():
            if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                pairs = {as_text(name): as_text(value) for name, value in event.headers}
                return pairs[":status"]
            if isinstance(event, h2.events.StreamReset) and event.stream_id == stream:
                return None
            if isinstance(event, h2.events.ConnectionTerminated):
                return None
        return None


def as_text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def pseudo(tenant: Tenant, **changes: str | None) -> list[tuple[str, str]]:
    fields = {":method": "POST", ":scheme": "http", ":authority": "gateway.test", ":path": "/v1/messages"}
    for name, value in changes.items():
        fields[":" + name] = value
    return [(name, value) for name, value in fields.items() if value is not None] + list(tenant.json_headers.items())


BAD_HEADS = {
    "no path": lambda tenant: pseudo(tenant, path=None),
    "empty path": lambda tenant: pseudo(tenant, path=""),
    "no method": lambda tenant: pseudo(tenant, method=None),
    "no scheme": lambda tenant: pseudo(tenant, scheme=None),
    "unknown pseudo header": lambda tenant: [(":odd", "1"), *pseudo(tenant)],
    "pseudo header last": lambda tenant: [*pseudo(tenant)[1:], (":method", "POST")],
    "connection header": lambda tenant: [*pseudo(tenant), ("connection", "close")],
    "transfer-encoding": lambda tenant: [*pseudo(tenant), ("transfer-encoding", "chunked")],
    "upper case": lambda tenant: [*pseudo(tenant), ("X-Upper", "1")],
    "newline": lambda tenant: [*pseudo(tenant), ("x-split", "a\r\nx-api-key: b")],
    "length too large": lambda tenant: [*pseudo(tenant), ("content-length", "99999")],
    "length too small": lambda tenant: [*pseudo(tenant), ("content-length", "3")],
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_malformed_heads_are_refused(tenant: Tenant, worker: int, name: str) -> None:
    caller = H2Caller(tenant.gateway(worker))
    stream = caller.open(BAD_HEADS[name](tenant), json.dumps(tenant.body()).encode())
    status = caller.answer_of(stream)
    assert status is None or 400 <= int(status) < 500, status
    caller.wire.close()
    assert tenant.calls() == []
    assert tenant.post(tenant.body(), worker).status_code == 200


def test_a_flood_of_resets_is_stopped(tenant: Tenant, worker: int) -> None:
    """Opening and resetting streams as fast as one can (CVE-2023-44487) ends the connection, not the worker."""
    caller = H2Caller(tenant.gateway(worker))
    body = json.dumps(tenant.body("l5000")).encode()
    try:
        for _ in range(5_000):
            stream = caller.open(pseudo(tenant), body)
            caller.session.reset_stream(stream)
            caller.flush()
    except (OSError, h2.exceptions.ProtocolError):
        pass
    assert caller.wire.is_closed_by_peer(20)
    assert tenant.post(tenant.body(), worker).status_code == 200


def test_a_caller_that_grants_no_window_holds_up_nobody(tenant: Tenant, worker: int) -> None:
    caller = H2Caller(tenant.gateway(worker))
    caller.session.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream = caller.open(pseudo(tenant), json.dumps(tenant.body("b1000000", stream=True)).encode())
    assert caller.answer_of(stream) == "200"
    assert tenant.post(tenant.body(), worker).status_code == 200
    caller.wire.close()


@pytest.mark.parametrize("data", [
    b"\0\0\0\x0f\0\0\0\0\1", b"\xff\xff\xff\0\0\0\0\0\1", b"\0\0\x05\x04\0\0\0\0\0abcde", b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0",
    b"\0\0\x01\x01\x04\0\0\0\1\xff", b"\0\0\x04\x03\0\0\0\0\0\0\0\0\0", bytes(range(256)) * 8,
], ids=["unknown frame", "oversized", "odd settings", "no increment", "bad hpack", "reset of stream 0", "garbage"])
def test_malformed_frames_do_no_harm(tenant: Tenant, worker: int, data: bytes) -> None:
    caller = H2Caller(tenant.gateway(worker))
    caller.wire.send(data)
    caller.wire.close()
    assert tenant.post(tenant.body(), worker).status_code == 200


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_accounts_are_called_over_http2_when_they_say_so(make_tenant, worker: int, is_stream: bool) -> None:
    tenant = make_tenant(accounts=[{"upstream_protocol": "h2"}])
    for number in range(3):
        answer = tenant.post(tenant.body("e10-i3-o4", stream=is_stream), worker)
        assert answer.status_code == 200, answer.text
    assert [call.protocol for call in tenant.calls()] == ["h2"] * 3
    assert all(row["output_tokens"] == 4 for row in tenant.rows(3))


@pytest.mark.parametrize("words, end", [("cut4", "upstream_cut"), ("errevent4", "error_event")])
def test_a_cut_http2_stream_is_told_and_billed(make_tenant, worker: int, words: str, end: str) -> None:
    tenant = make_tenant(accounts=[{"upstream_protocol": "h2"}])
    answer = tenant.post(tenant.body(f"e10-{words}", stream=True), worker)
    assert parse_events(answer.content)[-1].name == "error"
    [row] = tenant.rows(1)
    assert row["end"] == end


@pytest.mark.parametrize("protocol, expected", [("auto", "http/1.1"), ("http1", "http/1.1"), ("h2", "h2")])
def test_the_protocol_is_the_accounts_setting(make_tenant, protocol: str, expected: str) -> None:
    tenant = make_tenant(accounts=[{"upstream_protocol": protocol}])
    assert tenant.post(tenant.body()).status_code == 200
    assert tenant.calls()[0].protocol == expected
