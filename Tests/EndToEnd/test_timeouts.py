"""Every wait has an end. The limits are settings; here they are short, so these tests have the stack for themselves."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from harness.admin import Admin
from harness.events import parse_events
from harness.stack import Stack
from harness.tenancy import Tenant, await_configuration

pytestmark = pytest.mark.disruptive


@pytest.fixture
def settings(stack: Stack, admin: Admin) -> Iterator[Callable[..., None]]:
    before = admin.get("/admin/settings/gateway")

    def change(**fields: int) -> None:
        admin.call("PUT", "/admin/settings/gateway", {**before, **fields})
        await_configuration(stack, admin)

    yield change
    admin.call("PUT", "/admin/settings/gateway", before)


def test_a_hanging_account_is_left_for_the_next(make_tenant, settings, worker: int) -> None:
    tenant = make_tenant(accounts=[{"words": "hang", "priority": 1}, {"priority": 2}])
    settings(first_byte_timeout_seconds=1)
    began = time.monotonic()
    assert tenant.post(tenant.body(), worker).status_code == 200
    assert 0.9 < time.monotonic() - began < 15
    [row] = tenant.rows(1)
    assert row["account_id"] == tenant.accounts[1].row["id"]


def test_only_a_hanging_account(make_tenant, settings, worker: int) -> None:
    tenant = make_tenant(accounts=["hang"])
    settings(first_byte_timeout_seconds=1)
    answer = tenant.post(tenant.body(), worker)
    assert answer.status_code == 504
    assert answer.json()["type"] == "error"


def test_a_stream_that_stalls_ends_with_an_error_event(tenant: Tenant, settings, worker: int) -> None:
    settings(idle_timeout_seconds=1)
    answer = tenant.post(tenant.body("e10-stall4-i7", stream=True), worker)
    events = parse_events(answer.content)
    assert [event.name for event in events].count("content_block_delta") == 4
    assert events[-1].name == "error"
    [row] = tenant.rows(1)
    assert row["end"] == "upstream_cut"
    assert row["input_tokens"] == 7


def test_the_total_time_is_bounded(tenant: Tenant, settings, worker: int) -> None:
    settings(total_timeout_seconds=2)
    began = time.monotonic()
    answer = tenant.post(tenant.body("e100-d100", stream=True), worker)
    assert time.monotonic() - began < 9
    assert parse_events(answer.content)[-1].name == "error"


def test_an_account_whose_address_does_not_answer(make_tenant, settings, worker: int) -> None:
    """A full backlog drops connection attempts, as a dead host would."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        tenant = make_tenant(accounts=[{"credentials": {"base_url": url}, "priority": 1}, {"priority": 2}])
        settings(connect_timeout_seconds=1)
        began = time.monotonic()
        assert tenant.post(tenant.body(), worker).status_code == 200
        assert time.monotonic() - began < 9
        for filler in fillers:
            filler.close()


def test_one_deadline_holds_for_all_attempts(make_tenant, settings, worker: int) -> None:
    tenant = make_tenant(accounts=[{"words": "hang", "priority": number} for number in range(6)])
    settings(first_byte_timeout_seconds=1, failover_deadline_seconds=2)
    assert tenant.post(tenant.body(), worker).status_code == 504
    assert sum(1 for index in range(6) if tenant.calls(index)) <= 3


def test_a_silent_account_is_bridged_by_pings(tenant: Tenant, worker: int) -> None:
    """After ten seconds of silence the dialect's own ping follows, before any content has come."""
    answer = tenant.post(tenant.body("e3-fd11000", stream=True), worker)
    names = [event.name for event in parse_events(answer.content)]
    assert answer.status_code == 200
    assert names[-1] == "message_stop"
    assert "ping" in names[: names.index("content_block_delta")]


def test_the_body_limit_is_a_setting(tenant: Tenant, settings, worker: int) -> None:
    settings(body_limit_bytes=2048)
    assert tenant.post(tenant.body(), worker).status_code == 200
    # Many times: whether the body arrives before or after the key is known is a matter of chance.
    for _ in range(30):
        assert tenant.post(tenant.body(text="x" * 4000), worker).status_code == 413
