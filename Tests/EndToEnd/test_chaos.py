"""Everything dies at random moments under load, Redis forgets in every way it can; afterwards all books agree.

`CHAOS_SECONDS` says how long, `CHAOS_SEED` repeats a run's chances, `CHAOS_AT_ONCE` is how many callers there are.

One loss is stated and not provoked here: what only Redis knows of a worker's calls is gone when that worker is dead and
Redis forgets it as well. So Redis forgets only while no reservation of a killed worker is left.
"""

import collections
import csv
import io
import json
import os
import subprocess
import time
from random import Random

import httpx
import pytest
import redis

from harness.chaosload import EVENT_BYTES, KINDS, TOKEN_BYTES, Attempt, ChaosLoad, Upstream
from harness.disasters import Disasters
from harness.money import nano
from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until

SECONDS = int(os.environ.get("CHAOS_SECONDS", "120"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or Random().randrange(1, 1 << 31)
AT_ONCE = int(os.environ.get("CHAOS_AT_ONCE", "32"))
BALANCE = "1000000"
# What a killed call may lack.
CHECKPOINT = 5.0
# Between a call's first bytes and what its caller has noted of them, on a loaded machine.
SLACK = 1.5

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(SECONDS + 600)]

PROVOKED = {
    "worker": Disasters.worker,
    "control plane": Disasters.control_plane,
    "Redis": Disasters.redis,
    "Postgres": Disasters.postgres,
    "Redis and control plane": Disasters.redis_and_control_plane,
    "control plane and Postgres": Disasters.control_plane_and_postgres,
    "worker and control plane": Disasters.worker_and_control_plane,
    "Redis, control plane, worker": Disasters.everything_that_keeps_records,
}
FORGETS = {
    "flush": Disasters.flush,
    "flush without control plane": Disasters.flush_without_control_plane,
    "cut log": Disasters.cut_log,
    "failover": Disasters.fail_over,
}
# What a partition holds in Redis: the reservations, when each was renewed, and the records to settle.
HOLDS, LIVE, RECORDS = "hold", "live", "usage"
KILLS_A_WORKER = {"worker", "worker and control plane", "Redis, control plane, worker"}


class Chaos:
    """Goes from round to round until the time is over: in the first half of each Redis forgets, in the second workers die."""

    def __init__(self, stack: Stack, disasters: Disasters, chance: Random) -> None:
        self.stack, self.disasters, self.chance = stack, disasters, chance
        self.counts: collections.Counter[str] = collections.Counter()

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        others = [name for name in PROVOKED if name not in KILLS_A_WORKER]
        while time.monotonic() < end:
            self._all_of([*FORGETS, *self.chance.sample(others, 3)], end)
            self._all_of([*PROVOKED], end)
            if time.monotonic() < end:
                self._calm_down()

    def _calm_down(self) -> None:
        """Waits until what only Redis knows of dead workers stands in Postgres: their calls are settled, and the records
        of that have left the streams."""
        store = self.disasters.client()
        until("calls are under way", lambda: reservations(store), seconds=60)
        held = reservations(store)
        began = store.time()[0] * 1000
        # Living workers renew theirs every 10 s. Being listed for the first time looks alike, and happens within 5 s.
        until("no reservation of a dead worker", lambda: not unrenewed(store, held, began + 15_000), seconds=150)
        streams = [stream for partition in partitions(store) if store.exists(stream := partition + RECORDS)]
        last = {stream: store.xinfo_stream(stream)["last-generated-id"] for stream in streams}
        until(
            "the records of dead workers are in Postgres",
            lambda: not any(store.xrange(stream, "-", end, 1) for stream, end in last.items()),
            seconds=60,
        )

    def _all_of(self, names: list[str], end: float) -> None:
        for name in self.chance.sample(names, len(names)):
            if time.monotonic() >= end:
                return
            self.counts[name] += 1
            began = time.monotonic()
            (PROVOKED | FORGETS)[name](self.disasters)
            print(f"{time.strftime('%H:%M:%S')} {name} ({time.monotonic() - began:.1f} s)", flush=True)
            time.sleep(self.chance.uniform(0.2, 5))


def partitions(store) -> list[str]:
    return [f"tg:{{p{number:02}}}:" for number in range(64)]


def reservations(store) -> list[tuple[str, bytes]]:
    """All that stand now: their partition and request id."""
    return [(partition, name) for partition in partitions(store) for name in store.hkeys(partition + HOLDS)]


def unrenewed(store, held: list[tuple[str, bytes]], since: int) -> list[tuple[str, bytes]]:
    """Those that still stand and were not renewed after that moment, in ms since 1970."""
    pipeline = store.pipeline()
    for partition, name in held:
        pipeline.hexists(partition + HOLDS, name)
        pipeline.zscore(partition + LIVE, name)
    answers = pipeline.execute()
    standing = zip(held, answers[::2], answers[1::2])
    return [call for call, stands, renewed in standing if stands and (renewed is None or renewed < since)]


def sql(stack: Stack, statement: str) -> list[dict[str, str]]:
    done = subprocess.run(
        ["psql", "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", "-c", statement, stack.read("TOLLGATE_DATABASE_URL")],
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.fixture
def three_tenants(make_tenant, admin) -> list[Tenant]:
    """One pays from its wallet, one has a quota and a strict policy as well, one has a subscription."""
    # With error codes of its own a refusal marks no account.
    account = {"concurrency": 1000, "custom_error_codes": [599], "quota_total": BALANCE}
    policy = {"period": "monthly", "anchor_time": "2026-01-31T00:00:00Z", "quota": BALANCE, "boundary": "strict",
              "exhausted_action": "reject", "auto_resume": True}
    limits = {"subscription": True, "daily_limit": BALANCE, "weekly_limit": BALANCE, "monthly_limit": BALANCE}
    tenants = [
        make_tenant(accounts=[account, account], balance=BALANCE),
        make_tenant(accounts=[account, account], balance=BALANCE, key={"quota": BALANCE, "policy": policy}),
        make_tenant(accounts=[account, account], balance="0", group=limits),
    ]
    admin.create("subscriptions", user_id=tenants[2].user["id"], group_id=tenants[2].group["id"],
                 expires_at="2099-01-01T00:00:00Z")
    return tenants


def test_all_books_agree_after_chaos(three_tenants: list[Tenant], stack: Stack, capsys) -> None:
    chance = Random(SEED)
    with capsys.disabled():
        print(f"\nchaos: CHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS}", flush=True)
        load, upstream = ChaosLoad(three_tenants, chance, AT_ONCE), Upstream(three_tenants)
        with Disasters(stack, chance) as disasters:
            upstream.start()
            load.start()
            try:
                chaos = Chaos(stack, disasters, chance)
                chaos.run(SECONDS)
            finally:
                load.stop()
            settle(stack, disasters)
            upstream.stop()
        audit = Audit(stack, three_tenants, load, upstream, disasters)
        audit.run()
        print(audit.report(chaos), flush=True)
        (stack.folder / "chaos.json").write_text(json.dumps(audit.figures | {"faults": audit.faults[:1000]}, indent=1))
    assert not audit.faults, f"{len(audit.faults)} faults, CHAOS_SEED={SEED}:\n" + "\n".join(audit.faults[:20])


def settle(stack: Stack, disasters: Disasters) -> None:
    """Waits until nothing is under way: no reservation, no unsettled record, no journal."""
    for part in ("postgres", "redis", "control-plane", "worker-1", "worker-2"):
        stack.local("start", part)

    def at_rest() -> bool:
        store = disasters.client()
        left = {}
        for partition in partitions(store):
            for name, size in ((LIVE, store.zcard), (HOLDS, store.hlen), (RECORDS, store.xlen)):
                if count := size(partition + name):
                    left[partition + name] = count
        assert not left, left
        for number in (1, 2):
            text = httpx.get(stack.ops_urls[number - 1] + "/metrics", timeout=5, trust_env=False).text
            records = [line for line in text.splitlines() if line.startswith("tollgate_journal_records ")]
            assert all(float(line.split()[1]) == 0 for line in records), records
        return True

    until("all is settled", at_rest, seconds=180)


class Audit:
    """Compares what callers saw, what the account served, the rows, the ledger and the counters."""

    def __init__(
        self, stack: Stack, tenants: list[Tenant], load: ChaosLoad, upstream: Upstream, disasters: Disasters
    ) -> None:
        self.stack, self.tenants = stack, tenants
        self.attempts = {attempt.number: attempt for attempt in load.attempts}
        self.served = upstream.by_number()
        self.gaps = disasters.forgetful_gaps
        self.faults: list[str] = []
        self.figures: dict[str, object] = {}
        self.lacking: list[float] = []

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def run(self) -> None:
        keys = ", ".join(str(tenant.key_row["id"]) for tenant in self.tenants)
        self.rows = sql(self.stack, f"select * from usage_records where key_id in ({keys}) order by created_at")
        self._each_row()
        self._each_call()
        self._sums()
        self._counters()

    def _each_row(self) -> None:
        identifiers = collections.Counter(row["request_id"] for row in self.rows)
        for identifier, count in identifiers.items():
            if count > 1:
                self.fault(f"{identifier} has {count} rows")
        self.row_of: dict[int, dict[str, str]] = {}
        for row in self.rows:
            number = int(row["input_tokens"])
            attempt = self.attempts.get(number)
            if attempt is None:
                self.fault(f"a row that nobody's call is: {row}")
                continue
            if number in self.row_of:
                self.fault(f"call {number} is billed twice: {row} and {self.row_of[number]}")
            self.row_of[number] = row
            tokens = {name: int(value) for name, value in row.items() if name.endswith("_tokens") and value}
            rates = self.tenants[attempt.tenant].rates
            if int(row["cost"]) != rates.cost(tokens):
                self.fault(f"call {number} costs {row['cost']} instead of {rates.cost(tokens)}")

    def _each_call(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        for attempt in self.attempts.values():
            row = self.row_of.get(attempt.number)
            outcome = self._judge(attempt, row)
            self.outcomes[outcome] += 1
        for number, records in self.served.items():
            if number not in self.attempts:
                self.fault(f"the account served a call that nobody made: {records}")
            if len([record for record in records if record["end"] == "complete"]) > 1:
                self.outcomes["served twice"] += 1

    def _judge(self, attempt: Attempt, row: dict[str, str] | None) -> str:
        what = f"call {attempt.number} ({attempt.kind}, {attempt.status} {attempt.request_id} {attempt.failure})"
        records = self.served.get(attempt.number, [])
        is_served = any(record["end"] == "complete" for record in records)
        if row is not None and attempt.request_id and row["request_id"] != attempt.request_id:
            self.fault(f"{what}: its row is that of {row['request_id']}")
        if attempt.status not in (0, 200):
            if attempt.status != 503:
                self.fault(f"{what}: {attempt.body!r}")
            if row is not None:
                self.fault(f"{what} was refused and is billed: {row}")
            return f"refused {attempt.status}"
        if attempt.is_whole:
            if row is None:
                self.fault(f"{what} was answered and has no row")
            elif not is_served:
                self.fault(f"{what} was answered, and the account knows nothing of it: {records}")
            elif int(row["output_tokens"]) != attempt.output or row["end"] != "complete":
                self.fault(f"{what} was answered with {attempt.output} tokens: {row}")
            return "answered"
        if attempt.status == 200 and not attempt.failure and not attempt.is_aborted:
            # An error event in the stream: the account is never at fault here.
            self.fault(f"{what}: {attempt.body!r}")
            return "error event"
        if attempt.is_aborted:
            return self._gone(what, attempt, row, is_served)
        return self._killed(what, attempt, row)

    def _gone(self, what: str, attempt: Attempt, row: dict[str, str] | None, is_served: bool) -> str:
        """The caller hung up, after content: billed in full, unless the worker died before it had read on."""
        if row is None:
            self.fault(f"{what} hung up after content and has no row")
        elif row["end"] in ("complete", "caller_gone"):
            if int(row["output_tokens"]) != attempt.output:
                self.fault(f"{what} hung up, is billed {row['output_tokens']} of {attempt.output}: {row}")
        elif row["end"] != "worker_lost":
            self.fault(f"{what} hung up: {row}")
        else:
            return self._killed(what, attempt, row)
        return "hung up"

    def _killed(self, what: str, attempt: Attempt, row: dict[str, str] | None) -> str:
        """Its worker was killed: what came in the last 5 seconds may be missing, and nothing else."""
        end = attempt.ended
        # What such a Redis had of the call only its worker could have told once more.
        for began, over in self.gaps:
            if began <= end <= over + SLACK or end - CHECKPOINT - SLACK <= over <= end:
                end = min(end, began)
        known = attempt.events_until(end - CHECKPOINT - SLACK)
        if row is None and "Connect call failed" in attempt.failure:
            return "no worker there"
        if row is None:
            # Content begins with a checkpoint: it may lack only where its first bytes are that young.
            if known > 0:
                self.fault(f"{what} was killed after {known} events, and has no row")
            return "killed, not billed"
        billed = int(row["output_tokens"])
        if row["end"] in ("complete", "caller_gone"):
            # Settled before it could be told.
            if billed != attempt.output:
                self.fault(f"{what}: {row}")
            return "killed, settled before"
        if row["end"] != "worker_lost":
            self.fault(f"{what} was killed: {row}")
        floor = known * EVENT_BYTES // TOKEN_BYTES - 1
        if billed < floor:
            self.fault(f"{what} was killed and is billed {billed} tokens, at least {floor} were delivered: {row}")
        if billed > attempt.output:
            self.fault(f"{what} was killed and is billed {billed} tokens of {attempt.output}")
        delivered = attempt.events_until(attempt.ended) * EVENT_BYTES // TOKEN_BYTES
        self.lacking.append(max(0, delivered - billed) * TOKEN_BYTES / EVENT_BYTES * KINDS[attempt.kind].delay / 1000)
        return "killed, billed"

    def _sums(self) -> None:
        for tenant in self.tenants:
            rows = [row for row in self.rows if int(row["key_id"]) == tenant.key_row["id"]]
            spent = sum(int(row["cost"]) for row in rows)
            user, key = tenant.user["id"], tenant.key_row["id"]
            is_subscription = tenant.group["subscription"]
            [ledger] = sql(
                self.stack, f"select coalesce(-sum(amount), 0) as n from wallet_ledger where user_id = {user} and kind = 'charge'"
            )
            [balance] = sql(self.stack, f"select balance - (select coalesce(sum(amount), 0) from wallet_ledger where user_id = {user}) as n from users where id = {user}")
            [daily] = sql(self.stack, f"select sum(cost) as n, sum(requests) as requests from key_usage_daily where key_id = {key}")
            [settled] = sql(
                self.stack,
                f"select sum(s.cost) as n, count(*) as rows from settled s join usage_records r using (request_id) where r.key_id = {key}",
            )
            [quota] = sql(self.stack, f"select quota_used as n from api_keys where id = {key}")
            found = {
                "ledger": int(ledger["n"]), "days": int(daily["n"]), "settled": int(settled["n"]), "key": int(quota["n"]),
            }
            wanted = {name: spent for name in found} | ({"ledger": 0} if is_subscription else {})
            for row in sql(self.stack, f"select used as n from key_policies where key_id = {key}"):
                found["policy"], wanted["policy"] = int(row["n"]), spent
            for row in sql(self.stack, f"select day_used, week_used, month_used from subscriptions where user_id = {user}"):
                found |= {name: int(value) for name, value in row.items()}
                wanted |= dict.fromkeys(row, spent)
            if found != wanted:
                self.fault(f"key {key}: rows sum up to {spent}, the books say {found}")
            if int(balance["n"] or 0) != 0:
                self.fault(f"user {user}: the balance is not its ledger's sum, by {balance['n']}")
            if int(daily["requests"]) != len(rows) or int(settled["rows"]) != len(rows):
                self.fault(f"key {key}: {len(rows)} rows, {daily['requests']} in days, {settled['rows']} settled")
            for account in tenant.accounts:
                number = account.row["id"]
                cost = sum(int(row["account_cost"]) for row in rows if int(row["account_id"]) == number)
                quotas = sql(self.stack, f"select total_used as n from account_quotas where account_id = {number}")
                if [int(row["n"]) for row in quotas] != [cost]:
                    self.fault(f"account {number}: its rows cost {cost}, its quota says {quotas}")
            # The simulator's own count, of what it served to the end and of nothing else.
            complete = [row for row in rows if row["end"] in ("complete", "caller_gone") and row["usage_estimated"] == "f"]
            numbers = {int(row["input_tokens"]) for row in complete}
            served = [
                record for number in numbers for record in self.served.get(number, [])
                if record["end"] == "complete"
            ]
            for column in ("input_tokens", "output_tokens"):
                there, here = sum(record["usage"][column] for record in served), sum(int(row[column]) for row in complete)
                if there != here:
                    self.fault(f"key {key}: {column} {here} in rows, {there} at the account")
            self.figures[f"key {key}"] = {"rows": len(rows), "spent": spent, **found}

    def _counters(self) -> None:
        """Redis says what Postgres does, and holds nothing: at the latest some seconds after it was new, when the publisher
        has corrected what acknowledgements have not."""
        try:
            until("Redis says what Postgres does", lambda: not self._wrong_counters(), seconds=15)
        except AssertionError:
            self.faults += self._wrong_counters()
        drift = [line for line in self.stack.log("control-plane").splitlines() if "counter in Redis was wrong" in line]
        self.figures["drift"] = len(drift)
        for line in drift:
            self.fault(f"drift: {line}")

    def _wrong_counters(self) -> list[str]:
        wrong: list[str] = []
        store = redis.Redis.from_url(self.stack.read("TOLLGATE_REDIS_URL"), decode_responses=True)
        for tenant in self.tenants:
            user, key = tenant.user["id"], tenant.key_row["id"]
            partition = f"tg:{{p{user % 64:02}}}:"
            spent = sum(int(row["cost"]) for row in self.rows if int(row["key_id"]) == key)
            [wallet] = sql(self.stack, f"select balance as n from users where id = {user}")
            subscriptions = sql(self.stack, f"select id from subscriptions where user_id = {user}")
            wanted = {f"{partition}wallet:{user}": int(wallet["n"])}
            if tenant.key_row["quota"]:
                wanted[f"{partition}quota:{key}"] = spent
            for prefix in [f"policy:{key}:", *(f"sub:{row['id']}:" for row in subscriptions)]:
                wanted |= {name: spent for name in store.scan_iter(f"{partition}{prefix}*", count=1000)}
            for name, number in wanted.items():
                values = store.hgetall(name)
                found = [int(values.get(field, 0)) for field in "bur"]
                if found != [number, 0, 0]:
                    wrong.append(f"{name} is {values}, Postgres says {number}")
            self.figures[f"counters of key {key}"] = len(wanted)
            for account in tenant.accounts:
                number = account.row["id"]
                values = store.hgetall(f"tg:{{a{number}}}:quota")
                [quota] = sql(self.stack, f"select total_used as n from account_quotas where account_id = {number}")
                if [int(values.get("t", 0)), int(values.get("u", 0))] != [int(quota["n"]), 0]:
                    wrong.append(f"account {number}'s quota is {values}, Postgres says {quota['n']}")
        return wrong

    def report(self, chaos: Chaos) -> str:
        self.figures |= {
            "seed": SEED, "seconds": SECONDS, "calls": len(self.attempts), "rows": len(self.rows),
            "cost": sum(int(row["cost"]) for row in self.rows), "outcomes": dict(self.outcomes),
            "disasters": dict(chaos.counts),
            "kills": dict(collections.Counter(kind for kind, _ in chaos.disasters.kills)),
            "longest lack in s": round(max(self.lacking, default=0), 1),
        }
        return json.dumps(self.figures | {"faults": len(self.faults)}, indent=1)
