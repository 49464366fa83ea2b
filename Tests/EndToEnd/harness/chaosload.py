"""Calls while everything goes wrong, each recognisable afterwards: its number is its count of input tokens."""

import asyncio
import itertools
import threading
import time
from dataclasses import dataclass, field
from random import Random

from .load import Gone, LoadConnection
from .tenancy import Tenant

# Bytes of text that an event of the simulator's has, and that a token stands for where it is estimated.
EVENT_BYTES = 16
TOKEN_BYTES = 4
ENDING = b'{"type":"message_stop"}'


@dataclass
class Kind:
    weight: int
    stream: bool = False
    # Of the answer: how many, and ms between two.
    events: int = 4
    delay: int = 0
    # The caller hangs up after so many bytes.
    abort_after: int | None = None


KINDS = {
    "whole": Kind(40),
    "stream": Kind(30, stream=True, events=8),
    "stream of 3 s": Kind(12, stream=True, events=30, delay=100),
    "stream of 12 s": Kind(6, stream=True, events=120, delay=100),
    "stream of 30 s": Kind(2, stream=True, events=300, delay=100),
    "caller gone": Kind(10, stream=True, events=40, delay=40, abort_after=1500),
}


@dataclass
class Attempt:
    """One call as its caller saw it."""

    number: int
    tenant: int
    worker: int
    kind: str
    began: float
    status: int = 0
    request_id: str = ""
    # Its end was there.
    is_whole: bool = False
    is_aborted: bool = False
    failure: str = ""
    ended: float = 0
    # When how many events with text had come.
    progress: list[tuple[float, int]] = field(default_factory=list)
    body: bytes = b""

    @property
    def output(self) -> int:
        """Tokens that the account reports for the whole answer."""
        return KINDS[self.kind].events * EVENT_BYTES // TOKEN_BYTES

    def events_until(self, moment: float) -> int:
        return max((events for at, events in self.progress if at <= moment), default=0)


class ChaosLoad:
    """Calls by so many callers at once through both workers, from `start` to `stop`."""

    def __init__(self, tenants: list[Tenant], chance: Random, at_once: int) -> None:
        self.tenants = tenants
        self.chance = chance
        self.at_once = at_once
        self.attempts: list[Attempt] = []
        self._numbers = itertools.count(1000)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begins no more calls, and waits for those under way."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        async def everybody() -> None:
            async with asyncio.TaskGroup() as group:
                for caller in range(self.at_once):
                    group.create_task(self._caller(caller))

        try:
            asyncio.run(everybody())
        except BaseException as failure:
            self._failure = failure

    async def _caller(self, caller: int) -> None:
        chance = Random(self.chance.random())
        connections = [LoadConnection(self.tenants[0].gateway(worker)) for worker in (0, 1)]
        names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
        while not self._stop.is_set():
            worker = chance.randrange(2)
            attempt = Attempt(
                next(self._numbers), chance.randrange(len(self.tenants)), worker, chance.choices(names, weights)[0],
                time.monotonic(),
            )
            await self._call(attempt, connections[worker], caller)
            self.attempts.append(attempt)
            # Who is turned away comes back soon, but not at once.
            await asyncio.sleep(chance.uniform(0, 0.1) if attempt.is_whole else chance.uniform(0.1, 0.4))
        for connection in connections:
            connection.close()

    async def _call(self, attempt: Attempt, connection: LoadConnection, caller: int) -> None:
        kind, tenant = KINDS[attempt.kind], self.tenants[attempt.tenant]
        words = f"e{kind.events}-b{kind.events * EVENT_BYTES}-i{attempt.number}-o{attempt.output}"
        if kind.delay:
            words += f"-d{kind.delay}"
        # Another conversation each, or sessions would bind them all to one account.
        headers = {**tenant.json_headers, "user-agent": f"chaos/{attempt.number}"}
        seen = 0

        def on_head(status: int, request_id: str) -> None:
            attempt.status, attempt.request_id = status, request_id

        def on_part(part: bytes) -> None:
            nonlocal seen
            if count := part.count(b'"text_delta"'):
                seen += count
                attempt.progress.append((time.monotonic(), seen))

        try:
            answer = await connection.call(
                "/v1/messages", headers, tenant.body(words, text=f"chaos {attempt.number}", stream=kind.stream),
                abort_after=kind.abort_after, timeout=120, on_head=on_head, on_part=on_part,
            )
            attempt.is_aborted = answer.is_aborted
            if not answer.is_aborted:
                attempt.is_whole = answer.status == 200 and (not kind.stream or ENDING in answer.body[-200:])
                if not attempt.is_whole:
                    attempt.body = answer.body[-300:]
        except (Gone, TimeoutError) as failure:
            attempt.failure = repr(failure)
        attempt.ended = time.monotonic()


class Upstream:
    """What the simulator served, call by call; it keeps the last 10,000 only, so it is asked again and again."""

    def __init__(self, tenants: list[Tenant]) -> None:
        self.simulator = tenants[0].simulator
        self.secrets = {account.secret for tenant in tenants for account in tenant.accounts}
        # By id of the record.
        self.records: dict[int, dict] = {}
        self._since = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.read()

    def _run(self) -> None:
        while not self._stop.wait(2):
            self.read()

    def read(self) -> None:
        since = self._since
        while True:
            page = self.simulator._send("GET", "requests", since=since, limit=1000, bodies=0)
            for record in page["requests"]:
                if record["credential"] in self.secrets:
                    self.records[record["id"]] = record
            if not page["requests"]:
                break
            since = page["last"]
        # What was under way is read once more.
        open_ones = [id for id, record in self.records.items() if id > self._since and record["end"] == "open"]
        self._since = min(open_ones) - 1 if open_ones else since

    def by_number(self) -> dict[int, list[dict]]:
        """The records of each call: more than one where it was tried again."""
        found: dict[int, list[dict]] = {}
        for record in self.records.values():
            number = next(int(word[1:]) for word in record["model"].split("-") if word[:1] == "i" and word[1:].isdigit())
            found.setdefault(number, []).append(record)
        return found
