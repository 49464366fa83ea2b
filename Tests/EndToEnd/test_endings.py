"""How calls end: whole, cut by the account, left by the caller. Each is told in the dialect and billed as delivered."""

import json
import time
from collections.abc import Callable

import pytest

from harness.events import parse_events
from harness.raw import Closed, RawConnection, request
from harness.tenancy import Tenant
from harness.waiting import until


def open_stream(tenant: Tenant, worker: int, words: str, receive_buffer: int | None = None) -> RawConnection:
    connection = RawConnection(tenant.gateway(worker), receive_buffer=receive_buffer)
    connection.send(request("POST", "/v1/messages", tenant.json_headers, json.dumps(tenant.body(words, stream=True)).encode()))
    return connection


def read_events(connection: RawConnection, count: int) -> bytes:
    """Reads until so many content events have come."""
    body = b""
    for chunk in connection.chunks():
        body += chunk
        if body.count(b"content_block_delta\n") >= count:
            return body
    raise AssertionError("the stream ended early")


@pytest.mark.parametrize("words, end", [("cut4", "upstream_cut"), ("cutclean4", "upstream_cut"),
                                        ("errevent4", "error_event")])
def test_an_account_that_breaks_off_is_told_and_billed(tenant: Tenant, worker: int, words: str, end: str) -> None:
    with open_stream(tenant, worker, f"e10-d10-i100-o200-{words}") as connection:
        answer = connection.read_answer()
    events = parse_events(answer.body)
    assert answer.status == 200
    assert [event.name for event in events].count("content_block_delta") == 4
    assert events[-1].name == "error"
    document = events[-1].value
    assert document["type"] == "error"
    assert document["error"]["type"] and document["error"]["message"]
    [row] = tenant.rows(1)
    assert row["end"] == end
    # The input was reported at the start; the output is what was delivered, by estimate.
    assert row["input_tokens"] == 100
    assert 1 <= row["output_tokens"] <= 200
    assert row["usage_estimated"] is (row["output_tokens"] != tenant.calls()[-1].usage["output_tokens"])


def test_a_cut_answer_that_is_no_stream_is_an_error(tenant: Tenant, worker: int) -> None:
    answer = tenant.post(tenant.body("cut"), worker)
    assert answer.status_code == 502
    assert answer.json()["type"] == "error"


def test_a_caller_gone_mid_stream_is_billed_for_the_whole_answer(tenant: Tenant, worker: int) -> None:
    """The worker reads on to learn what the account counted."""
    connection = open_stream(tenant, worker, "e20-d20-i50-o60")
    connection.read_head()
    read_events(connection, 3)
    connection.abort()
    [row] = tenant.rows(1)
    assert row["end"] == "caller_gone"
    assert (row["input_tokens"], row["output_tokens"]) == (50, 60)
    assert row["usage_estimated"] is False
    assert tenant.calls()[-1].end == "complete"


def test_a_caller_gone_before_any_content_is_not_billed(tenant: Tenant, worker: int) -> None:
    connection = open_stream(tenant, worker, "e5-l3000-i50-o60")
    until("the account has the call", lambda: tenant.calls() != [])
    connection.abort()
    until("the account's answer was cancelled", lambda: tenant.calls()[-1].end == "client_gone")
    # A billed call after it: its row would stand behind the cancelled one's.
    billed = tenant.post(tenant.body(), worker).headers["x-request-id"]
    assert tenant.row(billed)["cost"] != "0"
    assert [row["request_id"] for row in tenant.rows() if row["cost"] != "0"] == [billed]


def test_a_caller_gone_before_a_whole_answer(tenant: Tenant, worker: int) -> None:
    connection = RawConnection(tenant.gateway(worker))
    connection.send(request("POST", "/v1/messages", tenant.json_headers, json.dumps(tenant.body("l2000")).encode()))
    until("the account has the call", lambda: tenant.calls() != [])
    connection.abort()
    until("the account's answer was cancelled", lambda: tenant.calls()[-1].end == "client_gone")


def test_the_callers_slot_is_free_at_once_when_they_leave(make_tenant, worker: int) -> None:
    tenant = make_tenant(key={"concurrency": 1})
    connection = open_stream(tenant, worker, "e160-d50")
    connection.read_head()
    read_events(connection, 2)
    connection.abort()
    began = time.monotonic()
    assert tenant.post(tenant.body(), worker).status_code == 200
    # The first answer is read on for eight seconds; its place is not taken.
    assert time.monotonic() - began < 6
    tenant.rows(2)


def test_half_a_request_is_not_forwarded(tenant: Tenant, worker: int) -> None:
    body = json.dumps(tenant.body()).encode()
    connection = RawConnection(tenant.gateway(worker))
    connection.send(request("POST", "/v1/messages", {**tenant.json_headers, "Content-Length": str(len(body))}) + body[:-5])
    connection.abort()
    assert tenant.post(tenant.body(text="after"), worker).status_code == 200
    assert len(tenant.calls()) == 1


def test_events_arrive_when_they_are_sent(tenant: Tenant, worker: int) -> None:
    """Not gathered: between two events that leave 200 ms apart there is time here too."""
    runs: list[list[float]] = []
    # A busy machine may be late with an event, and then the next one comes sooner after it; one run of three is in time.
    while not any(sum(gap > 0.1 for gap in gaps) >= 3 and sum(gaps) > 0.6 for gaps in runs):
        assert len(runs) < 3, runs
        with open_stream(tenant, worker, "e5-d200") as connection:
            connection.read_head()
            body, times = b"", []
            for chunk in connection.chunks():
                body += chunk
                while len(times) < body.count(b"event: content_block_delta\n"):
                    times.append(time.monotonic())
        assert len(times) == 5
        runs.append([later - earlier for earlier, later in zip(times, times[1:])])


def test_a_stream_cut_anywhere_by_the_network_is_the_same_stream(tenant: Tenant, worker: int) -> None:
    """The account's bytes in pieces of one, two, three … bytes."""
    whole = None
    for size in (1, 2, 3, 7, 64):
        with open_stream(tenant, worker, f"e6-chop{size}-o9") as connection:
            events = parse_events(connection.read_answer().body)
        assert events[-1].name == "message_stop"
        texts = [event.value["delta"]["text"] for event in events if event.name == "content_block_delta"]
        said = "".join(texts).split("] ", 1)[1]
        whole = whole or said
        assert said == whole
    assert all(row["output_tokens"] == 9 for row in tenant.rows(5))


@pytest.mark.parametrize("words", ["empty", "emptybody", "garbage"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_an_answer_without_content_is_an_error_and_free(tenant: Tenant, worker: int, words: str, is_stream: bool) -> None:
    answer = tenant.post(tenant.body(words, stream=is_stream), worker)
    if words == "empty" and not is_stream:
        # A whole answer that says nothing is still an answer.
        assert answer.status_code in (200, 502)
    else:
        assert answer.status_code == 502, answer.text
        assert answer.json()["type"] == "error"


def test_an_upstream_that_sends_too_little_is_cut(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body("longlength"), worker).status_code == 502


def test_interim_answers_are_swallowed(tenant: Tenant, worker: int) -> None:
    with RawConnection(tenant.gateway(worker)) as connection:
        connection.send(request("POST", "/v1/messages", tenant.json_headers, json.dumps(tenant.body("interim")).encode()))
        head = connection.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")


def test_a_slow_reader_slows_only_its_own_stream(make_tenant: Callable[..., Tenant], worker: int) -> None:
    """It holds back an answer of 20 MB while others go on; what it reads at last is whole."""
    # Over HTTP/1.1 the kernel may take all of it in on the worker's side: sockets grow to what the machine allows.
    tenant = make_tenant(accounts=[{"upstream_protocol": "h2"}])
    slow = open_stream(tenant, worker, "b20000000-e2000-o5", receive_buffer=65536)
    head = slow.read_head()
    for _ in range(5):
        assert tenant.post(tenant.body(), worker).status_code == 200
    assert tenant.calls()[0].end == "open", "the account's answer waits for its reader"
    body = slow.read_body(head)
    slow.close()
    assert parse_events(body)[-1].name == "message_stop"
    assert len(tenant.rows(6)) == 6


def test_connections_are_kept_and_answers_keep_their_order(tenant: Tenant, worker: int) -> None:
    """Three requests at once on one connection: three answers, in order."""
    with RawConnection(tenant.gateway(worker)) as connection:
        bodies = [json.dumps(tenant.body(text=f"number {number}")).encode() for number in range(3)]
        connection.send(b"".join(request("POST", "/v1/messages", tenant.json_headers, body) for body in bodies))
        for number in range(3):
            answer = connection.read_answer()
            assert answer.status == 200
            assert f"number {number}" in json.loads(answer.body)["content"][0]["text"]


def test_connection_close_is_obeyed(tenant: Tenant, worker: int) -> None:
    with RawConnection(tenant.gateway(worker)) as connection:
        headers = {**tenant.json_headers, "Connection": "close"}
        connection.send(request("POST", "/v1/messages", headers, json.dumps(tenant.body()).encode()))
        assert connection.read_answer().status == 200
        with pytest.raises(Closed):
            connection.receive()
