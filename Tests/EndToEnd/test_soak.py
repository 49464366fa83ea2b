"""Twenty thousand mixed calls through both workers, after which everything adds up exactly.

How many can be set by SOAK_CALLS, how many at once by SOAK_AT_ONCE; every run counts the same way.
"""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
import redis

from harness.load import Gone, LoadAnswer, LoadConnection, crowd
from harness.money import CLASSES, nano
from harness.process import descriptors, resident_bytes, threads
from harness.raw import RawConnection, request
from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

CALLS = int(os.environ.get("SOAK_CALLS", "20000"))
AT_ONCE = int(os.environ.get("SOAK_AT_ONCE", "64"))
SEED = int(os.environ.get("SOAK_SEED", "1"))


@dataclass
class Kind:
    """One kind of call: how often, what it asks for, and what may come of it."""

    weight: int
    words: str
    stream: bool = False
    statuses: tuple[int, ...] = (200,)
    # Hang up after so many bytes of the answer.
    abort_after: int | None = None
    path: str = "/v1/messages"
    method: str = "POST"
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


KINDS = {
    "whole": Kind(30, "i11-o22-cr3"),
    "stream": Kind(25, "e12-i13-o24-cw5", stream=True),
    "paced stream": Kind(6, "e8-d15-i7-o9", stream=True),
    "long text": Kind(4, "b60000-i20-o15000", stream=True),
    "cut stream": Kind(3, "e9-cut4-i10-o50", stream=True),
    "error event": Kind(3, "e9-errevent4-i10-o50", stream=True),
    "refused by an account": Kind(5, "529-every4-i3-o4", statuses=(200, 529)),
    "reset by an account": Kind(2, "reset-every3-i3-o4", statuses=(200, 502)),
    "caller's mistake upstream": Kind(2, "400", statuses=(400,)),
    "caller gone mid-stream": Kind(7, "e30-d8-i17-o31", stream=True, abort_after=1500),
    "caller gone before the answer": Kind(3, "l80-i5-o6", abort_after=0),
    "not JSON": Kind(2, "", statuses=(400,), body=b'{"model":'),
    "wrong key": Kind(3, "", statuses=(401,), headers={"x-api-key": "tg-wrong"}),
    "count": Kind(3, "", path="/v1/messages/count_tokens"),
    "models": Kind(1, "", path="/v1/models", method="GET"),
    "nowhere": Kind(1, "", path="/v1/nowhere", statuses=(404,)),
}


class Soak:
    def __init__(self, tenant: Tenant, count: int) -> None:
        self.tenant = tenant
        self.count = count
        self.outcomes: Counter[tuple[str, int]] = Counter()
        self.surprises: list[str] = []
        # Calls that were answered with 200 to the end: each must have its row.
        self.answered: set[str] = set()
        chance = random.Random(SEED)
        self.plan = chance.choices(list(KINDS), [kind.weight for kind in KINDS.values()], k=count)
        self.pool: list[list[LoadConnection]] = [[], []]

    async def one(self, number: int) -> None:
        name = self.plan[number]
        kind = KINDS[name]
        worker = number % 2
        spare = self.pool[worker]
        connection = spare.pop() if spare else LoadConnection(self.tenant.gateway(worker))
        body: dict | bytes | None = kind.body
        if body is None and kind.method == "POST":
            body = self.tenant.body(kind.words, text=f"soak {number}", stream=kind.stream)
            if kind.path.endswith("count_tokens"):
                del body["max_tokens"], body["stream"]
        try:
            answer = await connection.call(
                kind.path, {**self.tenant.json_headers, **kind.headers}, body, kind.abort_after, kind.method
            )
        except (Gone, TimeoutError) as failure:
            self.surprises.append(f"{name}: {failure!r}")
            return
        self.judge(name, kind, answer)
        spare.append(connection)

    def judge(self, name: str, kind: Kind, answer: LoadAnswer) -> None:
        self.outcomes[name, answer.status] += 1
        if answer.is_aborted:
            return
        if answer.status not in kind.statuses:
            self.surprises.append(f"{name}: {answer.status} {answer.body[:200]!r}")
            return
        if kind.path == "/v1/messages" and answer.status == 200:
            self.answered.add(answer.request_id)
            if kind.stream:
                is_broken = "cut" in name or "error" in name
                last = b"event: error" if is_broken else b'{"type":"message_stop"}'
                if last not in answer.body[-400:]:
                    self.surprises.append(f"{name}: ends with {answer.body[-200:]!r}")

    def run(self) -> None:
        async def all_of_it() -> None:
            await crowd(self.count, AT_ONCE, self.one)
            for spare in self.pool:
                for connection in spare:
                    connection.close()

        asyncio.run(all_of_it())


def held_keys(store: redis.Redis, tenant: Tenant) -> dict[str, int]:
    """Slots and reservations that are still held, by the names that the workers use."""
    held = {}
    patterns = [f"tg:{{a{account.row['id']}}}:slots*" for account in tenant.accounts]
    patterns += [f"tg:{{p*}}:slots:u{tenant.user['id']}", f"tg:{{p*}}:slots:k{tenant.key_row['id']}"]
    partition = tenant.user["id"] % 64
    patterns += [f"tg:{{p{partition:02}}}:live", f"tg:{{p{partition:02}}}:hold", f"tg:{{p{partition:02}}}:usage"]
    for pattern in patterns:
        for key in store.scan_iter(pattern.replace("{p*}", "{p??}")):
            kind = store.type(key).decode()
            size = {"zset": store.zcard, "hash": store.hlen, "stream": store.xlen}[kind](key)
            if size:
                held[key.decode()] = size
    return held


def nothing_is_held(store: redis.Redis, tenant: Tenant) -> bool:
    held = held_keys(store, tenant)
    assert not held, held
    return True


def test_twenty_thousand_mixed_calls_add_up(make_tenant, stack: Stack) -> None:
    # With error codes of its own a refusal marks no account: a 529 would take it out of service for minutes.
    account = {"concurrency": 500, "custom_error_codes": [599]}
    tenant = make_tenant(accounts=[account, account, account], balance="100000")
    store = redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL"))
    # Fresh workers with one call behind them hold as little as they ever will.
    for part in ("worker-1", "worker-2"):
        stack.local("restart", part)
    assert [tenant.post(tenant.body(), worker).status_code for worker in (0, 1)] == [200, 200]
    workers = stack.worker_pids
    at_rest = [descriptors(pid) for pid in workers]
    # Reaches the size that load brings, so that what comes later would be a leak.
    warm_up = Soak(tenant, max(100, CALLS // 10))
    warm_up.run()
    until("nothing is held after warming up", lambda: nothing_is_held(store, tenant), seconds=90)
    before = [(resident_bytes(pid), threads(pid)) for pid in workers]

    soak = Soak(tenant, CALLS)
    soak.run()
    assert not soak.surprises, f"{len(soak.surprises)} surprises: {soak.surprises[:10]}"
    assert sum(soak.outcomes.values()) == CALLS

    # Slots, reservations and unsettled records: all gone.
    until("slots, reservations and the stream are empty", lambda: nothing_is_held(store, tenant), seconds=90)

    # Rows, the simulator's own count, and the ledger: the same.
    stats = [tenant.simulator.stats(account.secret) for account in tenant.accounts]
    rows = tenant.rows()
    identifiers = [row["request_id"] for row in rows]
    assert len(set(identifiers)) == len(identifiers), "a call has two rows"
    assert soak.answered | warm_up.answered <= set(identifiers), "an answered call has no row"
    complete = [row for row in rows if row["end"] in ("complete", "caller_gone") and not row["usage_estimated"]]
    assert len(complete) == sum(stat["completed"] for stat in stats)
    for column in CLASSES.values():
        counted = sum(stat["completed_usage"][column] for stat in stats)
        assert sum(row[column] for row in complete) == counted, column
    for row in rows:
        assert nano(row["cost"]) == tenant.rates.cost(row), row
    spent = sum(nano(row["cost"]) for row in rows)
    balance = nano(tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"])
    assert nano("100000") - balance == spent
    usage = tenant.usage()
    assert usage["total"]["requests"] == len(rows)
    assert nano(usage["total"]["cost"]) == spent

    # The processes: the same ones, and no bigger.
    assert stack.worker_pids == workers
    for pid, files, (resident, tasks) in zip(workers, at_rest, before):
        grown = resident_bytes(pid) - resident
        assert grown < 16 << 20, f"worker {pid} grew by {grown >> 10} KiB over {CALLS} calls"
        # libuv starts its four when there is first something for them to do.
        assert threads(pid) <= tasks + 4

        def is_at_rest() -> bool:
            assert descriptors(pid) <= files, f"{descriptors(pid)} descriptors, {files} before"
            return True

        # Connections to accounts are kept for a minute and a half.
        until(f"worker {pid} has closed its connections", is_at_rest, seconds=120)


def test_idle_open_streams_take_little_memory(make_tenant, stack: Stack) -> None:
    streams, few, bound = 1500, 100, 12_000
    tenant = make_tenant(accounts=[{"concurrency": 2 * streams}], balance="100000", user={"concurrency": 0})
    stack.local("restart", "worker-1")
    worker = stack.worker_pids[0]
    body = json.dumps(tenant.body("e2-d25000", stream=True)).encode()
    call = request("POST", "/v1/messages", tenant.json_headers, body)
    with contextlib.ExitStack() as opened:

        def begin(count: int) -> None:
            callers = [opened.enter_context(RawConnection(tenant.gateway())) for _ in range(count)]
            for caller in callers:
                caller.send(call)
            for caller in callers:
                assert caller.read_head().status == 200

        # The first ones bring code and what all share.
        begin(few)
        before = resident_bytes(worker)
        begin(streams)

        def is_little() -> bool:
            each = (resident_bytes(worker) - before) / streams
            assert each <= bound, f"{each:.0f} bytes a stream"
            return True

        # The allocator gives back what opening them took within some seconds.
        until("an idle stream takes little", is_little, seconds=15)
    store = redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL"))
    until("all are over", lambda: nothing_is_held(store, tenant), seconds=60)
