"""Parts of the stack go away and come back: calls go on where they can, and no settled record is lost."""

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from harness.money import nano
from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until

pytestmark = pytest.mark.disruptive


@pytest.fixture(autouse=True)
def whole_stack(stack: Stack) -> Iterator[None]:
    """Whatever the test stopped runs again when it is over."""
    yield
    for part in ("postgres", "redis", "simulator", "control-plane", "worker-1", "worker-2"):
        stack.local("start", part)
    for gateway in stack.gateways:
        until("the worker is ready again", lambda: status_of(gateway + "/health/ready") == 200, seconds=90)


def status_of(url: str) -> int:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


class Calls:
    """Calls in the background, from both workers, until told to stop."""

    def __init__(self, tenant: Tenant, words: str = "e3-i10-o20") -> None:
        self.tenant, self.words = tenant, words
        self.statuses: list[int] = []
        self.answered: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(4)]

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            answer = self.tenant.post(self.tenant.body(self.words, stream=number < 2), number % 2)
            self.statuses.append(answer.status_code)
            if answer.status_code == 200:
                self.answered.append(answer.headers["x-request-id"])

    def __enter__(self) -> "Calls":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def some_more(self, count: int = 20) -> None:
        """Waits until so many further calls were answered with 200."""
        goal = len(self.answered) + count
        until(f"{count} more answers", lambda: len(self.answered) >= goal, seconds=40)


def assert_all_billed_once(tenant: Tenant, calls: Calls) -> None:
    rows = tenant.rows(len(calls.answered), seconds=60)
    assert {row["request_id"] for row in rows} == set(calls.answered)
    spent = sum(nano(row["cost"]) for row in rows)
    balance = nano(tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"])
    assert nano("100") - balance == spent
    assert spent == len(rows) * tenant.rates.cost({"input_tokens": 10, "output_tokens": 20})


def test_calls_go_on_while_the_control_plane_is_stopped(tenant: Tenant, stack: Stack) -> None:
    assert {tenant.post(tenant.body("e3-i10-o20"), worker).status_code for worker in (0, 1)} == {200}
    tenant.rows(2)
    with Calls(tenant) as calls:
        calls.some_more()
        stack.local("stop", "control-plane")
        calls.some_more(60)
        for gateway in stack.gateways:
            # Degraded, not down.
            assert status_of(gateway + "/health/ready") == 200
        stack.local("start", "control-plane")
        calls.some_more()
    assert set(calls.statuses) == {200}
    rows = tenant.rows(len(calls.answered) + 2, seconds=60)
    assert {row["request_id"] for row in rows} >= set(calls.answered)


def test_a_killed_control_plane_loses_and_doubles_nothing(tenant: Tenant, stack: Stack) -> None:
    with Calls(tenant) as calls:
        for _ in range(3):
            calls.some_more(30)
            os.kill(stack.control_pid, signal.SIGKILL)
            stack.local("start", "control-plane")
    assert set(calls.statuses) == {200}
    assert_all_billed_once(tenant, calls)


def test_calls_go_on_while_postgres_is_restarted(tenant: Tenant, stack: Stack) -> None:
    with Calls(tenant) as calls:
        calls.some_more()
        stack.local("restart", "postgres")
        calls.some_more()
        stack.local("stop", "postgres")
        calls.some_more(60)
        stack.local("start", "postgres")
        calls.some_more()
    assert set(calls.statuses) == {200}
    assert_all_billed_once(tenant, calls)
    # The admin API has found its database again.
    until("the admin API answers", lambda: tenant.admin.send("GET", "/admin/groups").status_code == 200, seconds=30)


def test_redis_restarted_under_load(tenant: Tenant, stack: Stack) -> None:
    """New calls may be turned away with 503 while it is gone; whatever was answered is billed once."""
    with Calls(tenant) as calls:
        calls.some_more()
        stack.local("restart", "redis")
        calls.some_more(60)
    assert set(calls.statuses) <= {200, 503}
    assert_all_billed_once(tenant, calls)


def test_without_redis_new_calls_are_turned_away_and_streams_finish(tenant: Tenant, stack: Stack) -> None:
    """A stream that began before is answered whole, and billed once Redis is back."""
    results: list = []
    thread = threading.Thread(
        target=lambda: results.append(tenant.post(tenant.body("e30-d100-i10-o20", stream=True)))
    )
    thread.start()
    until("the account has the call", lambda: tenant.calls() != [])
    stack.local("stop", "redis")
    refused = until(
        "new calls are refused",
        lambda: (answer := tenant.post(tenant.body("e3-i10-o20"))).status_code == 503 and answer, seconds=10,
    )
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["type"] == "error"
    until("the probe says so", lambda: status_of(stack.gateways[0] + "/health/ready") == 503)
    assert status_of(stack.gateways[0] + "/health/live") == 200
    thread.join()
    assert results[0].status_code == 200
    assert results[0].text.endswith('data: {"type":"message_stop"}\n\n')
    stack.local("start", "redis")
    until("calls are served again", lambda: tenant.post(tenant.body("e3-i10-o20")).status_code == 200, seconds=20)
    rows = tenant.rows(2, seconds=30)
    assert results[0].headers["x-request-id"] in {row["request_id"] for row in rows}


def test_a_flushed_redis_is_filled_again(tenant: Tenant, stack: Stack) -> None:
    """Everything in Redis can be made anew: snapshots by the publisher, what was unsettled by the workers."""
    import redis

    with Calls(tenant) as calls:
        calls.some_more()
        redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL")).flushall()
        calls.some_more(60)
    assert set(calls.statuses) <= {200, 401, 403, 503}
    assert_all_billed_once(tenant, calls)


def test_a_killed_worker_leaves_no_slot_behind(make_tenant, stack: Stack) -> None:
    """Its leases expire within 30 s; its unfinished call is billed from the last checkpoint or not at all."""
    tenant = make_tenant(accounts=[{"concurrency": 1}])
    thread = threading.Thread(target=lambda: pytest.raises(Exception, tenant.post, tenant.body("e600-d100", stream=True)))
    thread.start()
    until("the account has the call", lambda: tenant.calls() != [])
    os.kill(stack.worker_pids[0], signal.SIGKILL)
    killed = time.monotonic()
    thread.join()
    # The one slot is free again for the other worker, whose call waits for it.
    until("the slot is free", lambda: tenant.post(tenant.body(), 1).status_code == 200, seconds=45)
    # Some seconds more than the lease: a machine may be busy.
    assert time.monotonic() - killed <= 38


def test_a_stopped_worker_finishes_its_streams(tenant: Tenant, stack: Stack) -> None:
    """SIGTERM: ready goes false, nothing new is taken, what is under way is answered whole."""
    results: list = []
    thread = threading.Thread(
        target=lambda: results.append(tenant.post(tenant.body("e30-d100-i10-o20", stream=True)))
    )
    thread.start()
    until("the account has the call", lambda: tenant.calls() != [])
    pid = stack.worker_pids[0]
    os.kill(pid, signal.SIGTERM)
    until("nothing new is taken", lambda: status_of(stack.gateways[0] + "/health/live") == 0, seconds=10)
    thread.join()
    assert results[0].text.endswith('data: {"type":"message_stop"}\n\n')
    until("it has ended", lambda: not os.path.exists(f"/proc/{pid}/exe") or not os.path.lexists(f"/proc/{pid}"), seconds=20)
    [row] = tenant.rows(1, seconds=30)
    assert row["end"] == "complete"


def test_a_worker_without_free_files_serves_again_when_it_has_some(tenant: Tenant, stack: Stack) -> None:
    """Callers take every file that it may open; when they have left, it accepts as before."""
    pid, gateway = stack.worker_pids[0], httpx.URL(stack.gateways[0])
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    assert before[0] == before[1], "the worker has not raised its limit"
    assert tenant.post(tenant.body(), 0).status_code == 200

    def open_files() -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    limit = open_files() + 10
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        callers = [socket.create_connection((gateway.host, gateway.port)) for _ in range(100)]
        until("every file is taken", lambda: open_files() >= limit - 1, seconds=20)
        for caller in callers:
            caller.close()
        until("it accepts again", lambda: status_of(stack.gateways[0] + "/health/live") == 200, seconds=20)
        assert tenant.post(tenant.body(), 0).status_code == 200
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_the_account_is_restarted(tenant: Tenant, stack: Stack) -> None:
    """Pooled connections to it are dead afterwards; the first call already goes through."""
    for worker in (0, 1):
        assert tenant.post(tenant.body(), worker).status_code == 200
    stack.local("restart", "simulator")
    for worker in (0, 1):
        assert tenant.post(tenant.body(), worker).status_code == 200


def test_everything_killed_at_once_bills_each_answer_once(tenant: Tenant, stack: Stack) -> None:
    """Redis, the control plane and then the worker itself die under load, each by SIGKILL. What was answered while nobody
    could take its record comes out of the worker's journal."""
    answered: set[str] = set()
    cut: list[Exception] = []
    stop = threading.Event()

    def call(words: str, stream: bool) -> None:
        try:
            answer = tenant.post(tenant.body(words, stream=stream), 0)
        except httpx.HTTPError as error:
            return cut.append(error)
        if answer.status_code == 200 and (not stream or answer.text.endswith('data: {"type":"message_stop"}\n\n')):
            answered.add(answer.headers["x-request-id"])

    def load() -> None:
        while not stop.is_set():
            call("e3-i10-o20", stream=True)
            call("e3-i10-o20", stream=False)

    # Streams that end while nobody is there, and some that the worker's death cuts.
    streams = [threading.Thread(target=call, args=(f"e{40 + 8 * number}-d100-i10-o20", True)) for number in range(10)]
    streams += [threading.Thread(target=call, args=("e600-d100-i10-o20", True)) for _ in range(2)]
    others = [threading.Thread(target=load) for _ in range(4)]
    for thread in others:
        thread.start()
    until("calls are answered", lambda: len(answered) >= 40, seconds=30)
    for thread in streams:
        thread.start()
    until(
        "the streams are under way",
        lambda: sum(b"-d100-i10-o20" in call.body for call in tenant.calls()) >= len(streams),
    )
    os.kill(stack.pid("redis"), signal.SIGKILL)
    os.kill(stack.control_pid, signal.SIGKILL)
    stop.set()
    for thread in others + streams[:10]:
        thread.join()
    in_journal = metric(stack.ops_urls[0], "tollgate_journal_records")
    assert in_journal >= 5
    os.kill(stack.worker_pids[0], signal.SIGKILL)
    for thread in streams[10:]:
        thread.join()
    assert len(cut) == 2
    for part in ("redis", "worker-1", "control-plane"):
        stack.local("start", part)
    until("all are billed", lambda: {row["request_id"] for row in tenant.rows()} >= answered, seconds=90)
    until("the journal is empty", lambda: metric(stack.ops_urls[0], "tollgate_journal_records") == 0, seconds=30)
    rows = tenant.rows()
    found = [row["request_id"] for row in rows]
    assert len(found) == len(set(found))
    # Nothing but what was cut may stand beside them.
    assert len(found) <= len(answered) + 2
    spent = sum(nano(row["cost"]) for row in rows)
    assert nano("100") - nano(tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"]) == spent


def test_without_redis_the_control_plane_takes_the_records(tenant: Tenant, stack: Stack) -> None:
    results: list = []
    thread = threading.Thread(
        target=lambda: results.append(tenant.post(tenant.body("e30-d100-i10-o20", stream=True)))
    )
    thread.start()
    until("the account has the call", lambda: tenant.calls() != [])
    stack.local("stop", "redis")
    thread.join()
    assert results[0].text.endswith('data: {"type":"message_stop"}\n\n')
    # Redis is still away.
    [row] = tenant.rows(1, seconds=30)
    assert row["request_id"] == results[0].headers["x-request-id"]
    stack.local("start", "redis")
    until("calls are served again", lambda: tenant.post(tenant.body("e3-i10-o20")).status_code == 200, seconds=20)
    assert len({row["request_id"] for row in tenant.rows(2, seconds=30)}) == 2


def metric(ops_url: str, name: str) -> float:
    lines = httpx.get(ops_url + "/metrics", timeout=5, trust_env=False).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)
