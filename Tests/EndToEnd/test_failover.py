"""Another account takes over before the first content, and never after."""

import json

import pytest

from harness.callers import CALLERS, Answer, Question
from harness.events import parse_events
from harness.tenancy import Tenant
from harness.upstreams import UPSTREAMS, Upstream
from harness.waiting import until

# What the first account does; each must move the call on.
FAULTS = ["401", "402", "403", "403html", "404", "408", "429", "429retry30", "500", "502", "503", "504", "529",
          "reset", "empty", "emptybody", "garbage", "400credit", "400disabled"]


def two_accounts(make_tenant, words: str) -> Tenant:
    """The first one, which is asked first, has the fault."""
    return make_tenant(accounts=[{"words": words, "priority": 1}, {"priority": 2}])


@pytest.mark.parametrize(
    "words, is_stream",
    # A whole answer that says nothing is still an answer; a stream that says nothing is not.
    [(words, is_stream) for words in FAULTS for is_stream in (False, True) if is_stream or words != "empty"],
)
def test_the_next_account_answers(make_tenant, words: str, is_stream: bool) -> None:
    tenant = two_accounts(make_tenant, words)
    answer = tenant.post(tenant.body("i5-o6", stream=is_stream))
    assert answer.status_code == 200, answer.text
    assert "Hello" in answer.text
    assert len(tenant.calls(0)) >= 1
    assert len(tenant.calls(1)) == 1
    # Billed once, for the account that answered.
    [row] = tenant.rows(1)
    assert row["account_id"] == tenant.accounts[1].row["id"]
    assert (row["input_tokens"], row["output_tokens"], row["end"]) == (5, 6, "complete")


def test_a_refused_connection_moves_on(make_tenant, worker: int) -> None:
    import socket

    with socket.socket() as closed:
        # Bound and not listening: nobody else can take the port, and connections are refused.
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        tenant = make_tenant(accounts=[{"credentials": {"base_url": url}, "priority": 1}, {"priority": 2}])
        answer = tenant.post(tenant.body(), worker)
        assert answer.status_code == 200, answer.text
        [row] = tenant.rows(1)
        assert row["account_id"] == tenant.accounts[1].row["id"]


def test_many_bad_accounts_before_a_good_one(make_tenant, worker: int) -> None:
    faults = ["500", "529", "reset", "429", "503"]
    tenant = make_tenant(
        accounts=[{"words": words, "priority": index} for index, words in enumerate(faults)] + [{"priority": 99}]
    )
    assert tenant.post(tenant.body(), worker).status_code == 200
    assert [len(tenant.calls(index)) >= 1 for index in range(6)] == [True] * 6
    tenant.rows(1)


def test_at_most_ten_switches(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[{"words": "500", "priority": index} for index in range(12)])
    answer = tenant.post(tenant.body(), worker)
    assert answer.status_code == 500
    tried = [index for index in range(12) if tenant.calls(index)]
    assert tried == list(range(11)), "one attempt and ten switches"


def test_the_most_useful_error_is_told(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[{"words": "401", "priority": 1}, {"words": "429", "priority": 2},
                                   {"words": "500", "priority": 3}])
    answer = tenant.post(tenant.body(), worker)
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_a_callers_own_mistake_is_not_tried_elsewhere(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[{"priority": 1}, {"priority": 2}])
    answer = tenant.post({**tenant.body(), "temperature": 5}, worker)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert len(tenant.calls(0)) + len(tenant.calls(1)) == 1


def test_without_any_account(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[])
    answer = tenant.post(tenant.body(), worker)
    assert answer.status_code == 503
    assert answer.headers["x-tollgate-code"] == "no_account_available"
    assert answer.json()["type"] == "error"


@pytest.mark.parametrize("fields", [{"status": "inactive"}, {"schedulable": False},
                                    {"expires_at": "2020-01-01T00:00:00Z"}], ids=lambda fields: next(iter(fields)))
def test_accounts_that_cannot_serve_are_left_out(make_tenant, worker: int, fields: dict) -> None:
    tenant = make_tenant(accounts=[{"priority": 1, **fields}, {"priority": 2}])
    for _ in range(3):
        assert tenant.post(tenant.body(), worker).status_code == 200
    assert tenant.calls(0) == []
    assert len(tenant.calls(1)) == 3


def test_smaller_priority_goes_first_and_equals_share(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"priority": 10}, {"priority": 10}, {"priority": 20}])
    for number in range(24):
        assert tenant.post(tenant.body(text=f"call {number}"), number % 2).status_code == 200
    counts = [len(tenant.calls(index)) for index in range(3)]
    assert counts[2] == 0
    assert counts[0] + counts[1] == 24
    assert min(counts[:2]) >= 4, counts


def test_a_full_account_is_passed_over(make_tenant, worker: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    tenant = make_tenant(accounts=[{"priority": 1, "concurrency": 1}, {"priority": 2, "concurrency": 10}])
    with ThreadPoolExecutor(4) as pool:
        # The head comes after 300 ms, so all four are under way at once.
        answers = list(pool.map(lambda _: tenant.post(tenant.body("l300"), worker).status_code, range(4)))
    assert answers == [200] * 4
    assert len(tenant.calls(0)) >= 1
    assert len(tenant.calls(1)) >= 2


def test_calls_wait_for_a_slot_when_only_slots_are_lacking(make_tenant) -> None:
    """One slot for all of both workers: never two at once, and all are served."""
    from concurrent.futures import ThreadPoolExecutor

    tenant = make_tenant(accounts=[{"concurrency": 1}])
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: tenant.post(tenant.body("l100"), n % 2).status_code, range(6)))
    assert answers == [200] * 6
    calls = sorted(tenant.calls(), key=lambda call: call.started)
    for earlier, later in zip(calls, calls[1:]):
        assert earlier.ended <= later.started


@pytest.mark.parametrize("words", ["cut3", "cutclean3", "errevent3"])
def test_after_content_nothing_is_tried_again(make_tenant, worker: int, words: str) -> None:
    tenant = make_tenant(accounts=[{"priority": 1}, {"priority": 2}])
    answer = tenant.post(tenant.body(f"e10-{words}", stream=True), worker)
    assert answer.status_code == 200
    events = parse_events(answer.content)
    assert [event.name for event in events].count("message_start") == 1
    assert events[-1].name == "error"
    assert len(tenant.calls(0)) + len(tenant.calls(1)) == 1
    tenant.rows(1)


def test_a_fault_that_passes_is_forgotten(make_tenant, worker: int) -> None:
    """An account that failed once serves again later."""
    tenant = make_tenant()
    tenant.simulator.arm("500", tenant.accounts[0].secret, count=1)
    assert tenant.post(tenant.body(), worker).status_code == 500
    until("the account serves again", lambda: tenant.post(tenant.body(), worker).status_code == 200, seconds=10)


def test_failed_attempts_cost_nothing(make_tenant, worker: int) -> None:
    tenant = make_tenant(accounts=[{"words": "500"}])
    before = tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"]
    assert tenant.post(tenant.body(), worker).status_code == 500
    # A call that is billed comes after it: once its row is there, the failed one's would be too.
    tenant.simulator.arm("e1", tenant.accounts[0].secret)
    good = make_tenant()
    assert good.post(good.body(), worker).status_code == 200
    good.rows(1)
    rows = [row for row in tenant.admin.items("usage", key_id=tenant.key_row["id"]) if json.dumps(row["cost"]) != '"0"']
    assert rows == []
    assert tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"] == before


def test_a_storm_on_half_of_the_pool_loses_no_call(make_tenant) -> None:
    """429, 529, 5xx and lost connections, at every call or at every other one, on four accounts of eight: both workers go
    on answering everything, and each answer is billed once, to an account that could give it."""
    from concurrent.futures import ThreadPoolExecutor

    faults = ["429retry60", "529", "500-every2", "503", "reset-every2", "429", "502-every3", "529-every2"]
    tenant = make_tenant(accounts=[*({"words": words} for words in faults[:4]), {}, {}, {}, {}])
    others = make_tenant(accounts=[*({"words": words} for words in faults[4:]), {}, {}, {}, {}])

    def call(number: int) -> tuple[int, str]:
        one = (tenant, others)[number // 2 % 2]
        answer = one.post(one.body("e3-i5-o6", stream=number % 3 == 0), number % 2)
        return answer.status_code, answer.text

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(call, range(400)))
    assert [status for status, _ in answers if status != 200] == []
    assert all("Hello" in text and '"type":"error"' not in text for _, text in answers)
    for one in (tenant, others):
        rows = one.rows(200, seconds=30)
        assert len({row["request_id"] for row in rows}) == 200
        assert all((row["input_tokens"], row["output_tokens"]) == (5, 6) for row in rows)
        # Two of its four bad accounts never give an answer.
        good = {account.row["id"] for account, words in zip(one.accounts, [*(
            faults[:4] if one is tenant else faults[4:]), "", "", "", ""]) if not words or "every" in words}
        assert {row["account_id"] for row in rows} <= good


@pytest.mark.parametrize("upstream", UPSTREAMS.values(), ids=lambda upstream: upstream.name)
def test_an_empty_stream_is_tried_again_there_and_then_elsewhere(make_tenant, upstream: Upstream) -> None:
    """In every dialect on every kind of upstream: twice more on the account, 500 ms apart, then on the next one, and the
    account is paused for a minute."""
    common = {"platform": upstream.platform, "type": upstream.type, "credentials": upstream.credentials}
    for dialect, kind in CALLERS.items():
        tenant = make_tenant(
            group={"platform": upstream.platform},
            family=upstream.family,
            accounts=[{"words": "empty", "priority": 1, **common}, {"priority": 2, **common}],
        )
        caller = kind(tenant.gateway(), tenant.key)
        answer = Answer()
        text = "".join(caller.stream(Question(model=tenant.named("i5-o6")), answer))
        assert "Hello" in text, dialect
        calls = tenant.calls(0)
        assert len(calls) == 3 and len(tenant.calls(1)) == 1, dialect
        assert all(0.45 <= later.started - earlier.ended < 5 for earlier, later in zip(calls, calls[1:])), dialect
        [row] = tenant.rows(1)
        assert row["account_id"] == tenant.accounts[1].row["id"] and (row["input_tokens"], row["output_tokens"]) == (5, 6)
        path = f"/admin/accounts/{tenant.accounts[0].row['id']}"
        until(f"{dialect}: it is paused", lambda: tenant.admin.get(path)["temp_unschedulable_until"])


def test_a_brown_out_is_tried_out_by_one_call_of_all(make_tenant) -> None:
    """Every account of the group overloaded: of a crowd on both workers one call is let through, from five seconds on,
    and the next one ten seconds later."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    tenant = make_tenant(accounts=["529", "529"])
    assert tenant.post(tenant.body()).status_code == 529
    began = time.monotonic()
    assert [len(tenant.calls(index)) for index in (0, 1)] == [1, 1]

    def crowd(_: int) -> None:
        number = 0
        while time.monotonic() - began < 11:
            assert tenant.post(tenant.body(), number % 2).status_code in (503, 529)
            number += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(crowd, range(8)))
    further = [call.started for index in (0, 1) for call in tenant.calls(index)[1:]]
    assert len(further) == 1, further
