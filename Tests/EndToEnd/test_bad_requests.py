"""Bad input: refused with the right status in the dialect's shape, never forwarded, and never fatal."""

import functools
import gzip
import json
import socket
import time

import brotli
import pytest
import zstandard

from harness.process import resident_bytes
from harness.raw import Answer, Closed, RawConnection, exchange, request
from harness.tenancy import Tenant


@pytest.fixture
def tenant(shared_tenant: Tenant) -> Tenant:
    return shared_tenant

ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error", 405: "invalid_request_error",
               413: "request_too_large", 415: "invalid_request_error"}


def send(tenant: Tenant, worker: int, body: bytes, path: str = "/v1/messages", **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return exchange(tenant.gateway(worker), request("POST", path, {**tenant.json_headers, **names}, body))


def assert_refused(answer: Answer, status: int) -> dict:
    assert answer.status == status, answer.body
    document = json.loads(answer.body)
    assert document["type"] == "error"
    assert document["error"]["type"] == ERROR_TYPES[status]
    assert document["error"]["message"]
    assert answer.head.get("x-request-id")
    return document


def assert_told(answer: Answer) -> None:
    """Also what never became a request is answered like everything else."""
    document = json.loads(answer.body)
    assert document["type"] == "error" and document["error"]["message"]
    assert (answer.head.get("x-request-id") or "").startswith("req_")
    assert answer.head.get("x-tollgate-code")


def still_serves(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body(text="still there"), worker).status_code == 200


BROKEN = {
    "empty": b"",
    "blank": b"  \n ",
    "word": b"hello",
    "open": b'{"model":"MODEL"',
    "comma": b'{"model":"MODEL",}',
    "single quotes": b"{'model':'MODEL'}",
    "two values": b'{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]} {}',
    "bad escape": b'{"model":"MODEL","x":"\\q"}',
    "raw control": b'{"model":"MODEL","x":"a\nb"}',
    "bad utf-8": b'{"model":"MODEL","x":"\xff\xfe"}',
    "nul": b'{"model":"MODEL"}\0',
    "nan": b'{"model":"MODEL","x":NaN}',
    "byte order mark only": b"\xef\xbb\xbf",
    "too deep": b'{"model":"MODEL","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an array": b"[1,2]",
    "a string": b'"model"',
    "null": b"null",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_what_is_not_a_json_object_is_refused(tenant: Tenant, worker: int, name: str, path: str) -> None:
    body = BROKEN[name].replace(b"MODEL", tenant.model.encode())
    assert_refused(send(tenant, worker, body, path), 400)
    assert tenant.calls() == []
    still_serves(tenant, worker)


@pytest.mark.parametrize(
    "change",
    [
        {"model": None}, {"model": 7}, {"model": ""}, {"model": ["a"]}, {"model": {"a": 1}}, {"model": "DELETE"},
        {"stream": "yes"}, {"stream": 1}, {"stream": {}},
        {"messages": "Hi"}, {"messages": {}}, {"messages": 3}, {"messages": None}, {"messages": "DELETE"},
    ],
    ids=json.dumps,
)
def test_wrong_types_are_refused_and_the_field_is_named(tenant: Tenant, worker: int, change: dict) -> None:
    body = {**tenant.body(), **change}
    [field] = change
    if body[field] == "DELETE":
        del body[field]
    document = assert_refused(send(tenant, worker, json.dumps(body).encode()), 400)
    assert field in document["error"]["message"]
    assert tenant.calls() == []


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/message", "/v1/messages/", "/v1/messages/x", "/v2/messages",
                                  "/V1/MESSAGES", "/v1//messages", "/v1/messages%2f", "/../v1/messages"])
def test_unknown_paths(tenant: Tenant, worker: int, path: str) -> None:
    answer = exchange(tenant.gateway(worker), request("POST", path, tenant.json_headers, b"{}"))
    assert answer.status == 404, answer.body
    assert json.loads(answer.body)["type"] == "error"


@pytest.mark.parametrize("method, path, allowed", [
    ("GET", "/v1/messages", "POST"), ("PUT", "/v1/messages", "POST"), ("DELETE", "/v1/messages", "POST"),
    ("PATCH", "/v1/messages/count_tokens", "POST"), ("POST", "/v1/models", "GET"), ("POST", "/v1/usage", "GET"),
])
def test_wrong_methods(tenant: Tenant, worker: int, method: str, path: str, allowed: str) -> None:
    answer = exchange(tenant.gateway(worker), request(method, path, tenant.json_headers, b"{}"))
    assert answer.status == 405
    assert allowed in (answer.head.get("allow") or "")
    assert json.loads(answer.body)["type"] == "error"


def test_who_wants_a_websocket_is_told_that_there_are_none(tenant: Tenant, worker: int) -> None:
    """Codex falls back to plain calls at once then, and tries for many seconds else."""
    wish = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    answer = exchange(tenant.gateway(worker), request("GET", "/v1/responses", {**tenant.json_headers, **wish}))
    assert answer.status == 426
    assert "POST" in (answer.head.get("allow") or "")
    assert json.loads(answer.body)["error"]["code"] == "method_not_allowed"


def test_head_is_get_without_its_body(tenant: Tenant, worker: int) -> None:
    with RawConnection(tenant.gateway(worker)) as connection:
        connection.send(request("HEAD", "/v1/models", tenant.headers) + request("GET", "/v1/models", tenant.headers))
        head = connection.read_head()
        assert head.status == 200
        # What follows is the second answer's head and not a body.
        second = connection.read_answer()
    assert second.status == 200
    assert json.loads(second.body)["data"] is not None


# Sizes


def test_a_body_over_the_limit_is_refused_by_its_length(tenant: Tenant, worker: int) -> None:
    headers = {**tenant.json_headers, "Content-Length": str((32 << 20) + 1)}
    with RawConnection(tenant.gateway(worker)) as connection:
        connection.send(request("POST", "/v1/messages", headers))
        assert_refused(connection.read_answer(), 413)
    assert tenant.calls() == []


def test_a_chunked_body_over_the_limit_is_refused(tenant: Tenant, worker: int) -> None:
    headers = {**tenant.json_headers, "Transfer-Encoding": "chunked"}
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with RawConnection(tenant.gateway(worker), timeout=60) as connection:
        connection.send(request("POST", "/v1/messages", headers))
        try:
            for _ in range(40):
                connection.send(chunk)
            connection.send(b"0\r\n\r\n")
        except OSError:
            pass  # It may have answered and stopped reading.
        assert_refused(connection.read_answer(), 413)
    still_serves(tenant, worker)


def test_a_body_just_below_the_limit_passes(tenant: Tenant, worker: int) -> None:
    frame = json.dumps(tenant.body(text="")).encode()
    body = frame.replace(b'"content": ""', b'"content": "' + b"x" * ((32 << 20) - len(frame)) + b'"')
    assert len(body) == 32 << 20
    answer = send(tenant, worker, body)
    assert answer.status == 200, answer.body[:300]
    assert tenant.calls()[-1].body_bytes == len(body)


def test_an_empty_chunked_body(tenant: Tenant, worker: int) -> None:
    headers = {**tenant.json_headers, "Transfer-Encoding": "chunked"}
    answer = exchange(tenant.gateway(worker), request("POST", "/v1/messages", headers) + b"0\r\n\r\n")
    assert_refused(answer, 400)


def test_a_chunked_body_arrives_whole(tenant: Tenant, worker: int) -> None:
    body = json.dumps(tenant.body(text="in pieces")).encode()
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (1, body[at:at + 1]) for at in range(len(body)))
    headers = {**tenant.json_headers, "Transfer-Encoding": "chunked"}
    answer = exchange(tenant.gateway(worker), request("POST", "/v1/messages", headers) + chunks + b"0\r\n\r\n")
    assert answer.status == 200
    assert tenant.calls()[-1].body == body


@pytest.mark.parametrize("count, size", [(1, 70_000), (700, 100), (20_000, 1)], ids=["one", "many", "countless"])
def test_huge_headers_are_refused(tenant: Tenant, worker: int, count: int, size: int) -> None:
    fields = [(f"x-{number}", "v" * size) for number in range(count)]
    with RawConnection(tenant.gateway(worker)) as connection:
        try:
            connection.send(request("POST", "/v1/messages", [*tenant.json_headers.items(), *fields], b"{}"))
        except OSError:
            pass
        try:
            answer = connection.read_answer()
            assert answer.status in (400, 431)
            assert_told(answer)
        except Closed:
            pass  # Closed before everything was read: the kernel may drop the answer.
    assert tenant.calls() == []
    still_serves(tenant, worker)


def test_headers_below_the_limit_pass(tenant: Tenant, worker: int) -> None:
    answer = send(tenant, worker, json.dumps(tenant.body()).encode(), x_large="v" * 40_000)
    assert answer.status == 200


# Encodings


@functools.cache
def make_bomb(encoding: str) -> bytes:
    """400 MB of nothing."""
    spaces = b" " * (400 << 20)
    return brotli.compress(spaces, quality=1) if encoding == "br" else ENCODERS[encoding](spaces)


ENCODERS = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_encoded_bodies_are_accepted(tenant: Tenant, worker: int, encoding: str) -> None:
    body = json.dumps(tenant.body(text=f"packed with {encoding}")).encode()
    answer = send(tenant, worker, ENCODERS[encoding](body), content_encoding=encoding)
    assert answer.status == 200, answer.body
    call = tenant.calls()[-1]
    assert call.body == body
    assert call.header("content-encoding") is None


@pytest.mark.parametrize("encoding", ENCODERS)
def test_bombs_are_refused_before_they_unfold(tenant: Tenant, worker: int, encoding: str) -> None:
    pid = tenant.stack.worker_pids[worker]
    before = resident_bytes(pid)
    bomb = make_bomb(encoding)
    assert len(bomb) < 2 << 20
    assert_refused(send(tenant, worker, bomb, content_encoding=encoding), 413)
    assert resident_bytes(pid) - before < 100 << 20
    assert tenant.calls() == []


@pytest.mark.parametrize("encoding", ENCODERS)
def test_broken_encodings_are_refused(tenant: Tenant, worker: int, encoding: str) -> None:
    packed = ENCODERS[encoding](json.dumps(tenant.body()).encode() * 50)
    for damaged in (packed[: len(packed) // 2], b"\0\1\2\3 nonsense", b""):
        assert_refused(send(tenant, worker, damaged, content_encoding=encoding), 400)
    assert tenant.calls() == []
    still_serves(tenant, worker)


def test_unknown_encodings_are_refused(tenant: Tenant, worker: int) -> None:
    assert_refused(send(tenant, worker, b"x", content_encoding="compress"), 415)



# Framing


MALFORMED = {
    "length and chunked": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "negative length": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "plus length": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    "huge length": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "bare lf": b"POST /v1/messages HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
    "bare cr": b"POST /v1/messages HTTP/1.1\rHost: x\r\r",
    "folded": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-a: 1\r\n 2\r\nContent-Length: 2\r\n\r\n{}",
    "space before colon": b"POST /v1/messages HTTP/1.1\r\nHost : x\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 2\r\n\r\n{}",
    "no host": b"POST /v1/messages HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "chunked not last": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "odd coding": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "bad chunk size": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "spaced chunk size": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
    "huge chunk size": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "chunk without crlf": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
    "chunked on 1.0": b"POST /v1/messages HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "nul in a header": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-a: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "no version": b"POST /v1/messages\r\nHost: x\r\n\r\n",
    "version 3": b"POST /v1/messages HTTP/3.0\r\nHost: x\r\n\r\n",
    "garbage": bytes(range(256)) * 4,
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    "connect": b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n",
    "broken preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_ambiguous_framing_is_refused_and_the_connection_closed(tenant: Tenant, worker: int, name: str) -> None:
    with RawConnection(tenant.gateway(worker)) as connection:
        connection.send(MALFORMED[name])
        # Behind it stands a good call, which a smuggler would want to get through.
        try:
            connection.send(request("POST", "/v1/messages", tenant.json_headers, json.dumps(tenant.body()).encode()))
        except OSError:
            pass
        try:
            answer = connection.read_answer()
            assert 400 <= answer.status < 600, answer
            assert_told(answer)
        except Closed:
            pass
        assert connection.is_closed_by_peer(10)
    assert tenant.calls() == []
    still_serves(tenant, worker)


def test_malformed_requests_cut_anywhere_do_no_harm(tenant: Tenant, worker: int) -> None:
    """Each one in two writes, split at many places: the same refusal, and nothing is forwarded."""
    for data in MALFORMED.values():
        for at in range(1, len(data), max(1, len(data) // 8)):
            with RawConnection(tenant.gateway(worker)) as connection:
                try:
                    connection.send(data[:at])
                    connection.send(data[at:])
                    connection.socket.shutdown(socket.SHUT_WR)
                    while True:
                        connection.receive()
                except (Closed, OSError):
                    pass
    assert tenant.calls() == []
    still_serves(tenant, worker)


def test_upgrades_are_ignored(tenant: Tenant, worker: int) -> None:
    headers = {**tenant.json_headers, "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    answer = exchange(tenant.gateway(worker), request("POST", "/v1/messages", headers, json.dumps(tenant.body()).encode()))
    assert answer.status == 200


def test_expect_continue(tenant: Tenant, worker: int) -> None:
    body = json.dumps(tenant.body(text="expected")).encode()
    headers = {**tenant.json_headers, "Expect": "100-continue", "Content-Length": str(len(body))}
    with RawConnection(tenant.gateway(worker)) as connection:
        connection.send(request("POST", "/v1/messages", headers))
        assert connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        connection.send(body)
        assert connection.read_answer().status == 200


def test_expect_continue_is_not_said_to_who_may_not_enter(tenant: Tenant, worker: int) -> None:
    headers = {**tenant.json_headers, "x-api-key": "wrong", "Expect": "100-continue", "Content-Length": "100"}
    with RawConnection(tenant.gateway(worker)) as connection:
        connection.send(request("POST", "/v1/messages", headers))
        assert connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 401")


# Time


def test_slow_heads_are_closed(tenant: Tenant, worker: int) -> None:
    """A byte now and then keeps no connection open for ever."""
    with RawConnection(tenant.gateway(worker)) as connection:
        head = request("POST", "/v1/messages", tenant.json_headers, b"{}")
        began = time.monotonic()
        closed = False
        for byte in head * 50:
            try:
                connection.send(bytes([byte]))
            except OSError:
                closed = True
                break
            if connection.is_closed_by_peer(0.5):
                closed = True
                break
            assert time.monotonic() - began < 60, "the head may take for ever"
        assert closed
    still_serves(tenant, worker)


def test_idle_connections_cost_other_callers_nothing(tenant: Tenant, worker: int) -> None:
    idle = [RawConnection(tenant.gateway(worker)) for _ in range(200)]
    try:
        for connection in idle[:100]:
            connection.send(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        still_serves(tenant, worker)
        assert time.monotonic() - began < 10
    finally:
        for connection in idle:
            connection.close()
