"""Calls for which there is no slot wait in a line, first come, first served on whichever worker."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from harness.simulator import Call
from harness.stack import Stack
from harness.tenancy import Tenant, unique
from harness.waiting import until


def most_at_once(calls: list[Call]) -> int:
    """How many of these calls were under way at one time, as the upstream saw it."""
    moments = sorted([(call.started, 1) for call in calls] + [(call.ended, -1) for call in calls])
    highest = now = 0
    for _, change in moments:
        now += change
        highest = max(highest, now)
    return highest


def storm(tenant: Tenant, count: int, words: str) -> list[httpx.Response]:
    """So many calls at once, on both workers in turn."""
    with ThreadPoolExecutor(count) as threads:
        return list(
            threads.map(lambda number: tenant.post(tenant.body(words, text=unique("t")), number % 2), range(count))
        )


def in_line(stack: Stack, tenant: Tenant) -> int:
    """Calls that wait for their user or for the first account, on both workers."""
    user = tenant.user["id"]
    store = redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL"))
    sets = (f"tg:{{p{user % 64:02}}}:slots:u{user}", f"tg:{{a{tenant.accounts[0].row['id']}}}:slots")
    return sum(store.zcard(slots + ":line") for slots in sets)


def test_accounts_never_exceed_their_concurrency(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"concurrency": 2, "priority": 1}, {"concurrency": 3, "priority": 2}])
    answers = storm(tenant, 60, "slow100")
    assert [answer.status_code for answer in answers] == [200] * 60
    assert most_at_once(tenant.calls(0)) <= 2
    assert most_at_once(tenant.calls(1)) <= 3
    assert len(tenant.calls(0)) + len(tenant.calls(1)) == 60
    tenant.rows(60)


@pytest.mark.parametrize("limited", ["user", "key"])
def test_callers_never_exceed_theirs(make_tenant, limited: str) -> None:
    tenant = make_tenant(**{limited: {"concurrency": 2}})
    answers = storm(tenant, 24, "slow100")
    assert [answer.status_code for answer in answers] == [200] * 24
    assert most_at_once(tenant.calls()) <= 2
    tenant.rows(24)


@pytest.mark.parametrize("limits", [{"user": {"concurrency": 1}}, {"accounts": [{"concurrency": 1}]}], ids=["user", "account"])
def test_first_come_first_served(make_tenant, stack: Stack, limits: dict) -> None:
    tenant = make_tenant(**limits)
    order = [f"call-{number}" for number in range(8)]

    def ask(number: int) -> None:
        assert tenant.post(tenant.body("slow400", text=order[number]), number % 2).status_code == 200

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for number, thread in enumerate(threads):
        thread.start()
        until("in line before the next one comes", lambda: in_line(stack, tenant) + len(tenant.calls()) > number)
    for thread in threads:
        thread.join()
    served = [next(text for text in order if text.encode() in call.body) for call in tenant.calls()]
    assert served == order


def test_a_caller_that_leaves_holds_up_nobody(make_tenant, stack: Stack) -> None:
    tenant = make_tenant(accounts=[{"concurrency": 1}])
    first = threading.Thread(target=lambda: tenant.post(tenant.body("slow4000", text="first")))
    first.start()
    until("the slot is taken", lambda: len(tenant.calls()) == 1)
    with pytest.raises(httpx.TimeoutException):
        httpx.post(
            tenant.gateway(1) + "/v1/messages", headers=tenant.json_headers, json=tenant.body(text="leaves"),
            timeout=0.5, trust_env=False,
        )
    # While the slot is still taken.
    until("its ticket is gone", lambda: in_line(stack, tenant) == 0, 2.5)
    assert tenant.post(tenant.body(text="stays")).status_code == 200
    first.join()
    assert len(tenant.calls()) == 2


def test_waits_are_counted(make_tenant, stack: Stack) -> None:
    def counted(end: str) -> float:
        text = httpx.get(stack.ops_urls[0] + "/metrics", timeout=15, trust_env=False).text
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith("tollgate_waits_total") and 'for="account"' in line and f'end="{end}"' in line
        )

    tenant = make_tenant(accounts=[{"concurrency": 1}])
    before = counted("served")
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda number: tenant.post(tenant.body("slow200", text=unique("t"))), range(3)))
    assert counted("served") >= before + 2


@pytest.mark.disruptive
def test_the_tickets_of_a_killed_worker_end(make_tenant, stack: Stack) -> None:
    tenant = make_tenant(accounts=[{"concurrency": 1}])
    first = threading.Thread(target=lambda: tenant.post(tenant.body("slow5000", text="first")))
    first.start()
    until("the slot is taken", lambda: len(tenant.calls()) == 1)

    def lost() -> None:
        with pytest.raises(httpx.TransportError):
            tenant.post(tenant.body(text="lost"), 1)

    # On the second worker, and first in line.
    waiting = threading.Thread(target=lost)
    waiting.start()
    until("it waits", lambda: in_line(stack, tenant) == 1)
    os.kill(stack.worker_pids[1], signal.SIGKILL)
    try:
        waiting.join()
        begin = time.monotonic()
        assert tenant.post(tenant.body(text="served")).status_code == 200
        assert time.monotonic() - begin < 9
        first.join()
        assert len(tenant.calls()) == 2
    finally:
        stack.local("start", "worker-2")
