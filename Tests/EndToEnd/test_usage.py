"""What is billed is what the account reported, to the nano-USD, once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.money import CLASSES, MEDIA, Rates, nano
from harness.tenancy import Tenant
from harness.waiting import until

WORDS = "i1234-o567-cr890-cw321-c1h99"
TOKENS = {
    "input_tokens": 1234,
    "output_tokens": 567,
    "cache_read_tokens": 890,
    "cache_creation_5m_tokens": 321,
    "cache_creation_1h_tokens": 99,
}


FAST = Rates("6", "30", "7.5", "12", "0.6")
US = Rates("3.3", "16.5", "4.125", "6.6", "0.33")


def tokens_of(row: dict) -> dict[str, int]:
    return {column: row[column] for column in CLASSES.values()}


def balance_of(tenant: Tenant) -> int:
    return nano(tenant.admin.get(f"/admin/users/{tenant.user['id']}")["balance"])


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_row_has_every_token_class_and_its_exact_cost(tenant: Tenant, worker: int, is_stream: bool) -> None:
    answer = tenant.post(tenant.body(WORDS, stream=is_stream), worker, **{"user-agent": "counting/1.0"})
    assert answer.status_code == 200
    [row] = tenant.rows(1)
    assert tokens_of(row) == TOKENS
    assert nano(row["cost"]) == tenant.rates.cost(TOKENS)
    assert row["request_id"] == answer.headers["x-request-id"]
    assert row["user_id"] == tenant.user["id"]
    assert row["key_id"] == tenant.key_row["id"]
    assert row["group_id"] == tenant.group["id"]
    assert row["account_id"] == tenant.accounts[0].row["id"]
    assert row["model"] == tenant.named(WORDS)
    assert "upstream_model" not in row or row["upstream_model"] is None
    assert row["dialect"] == "anthropic"
    assert row["stream"] is is_stream
    assert row["status"] == 200
    assert row["end"] == "complete"
    assert row["ip"] == "127.0.0.1"
    assert row["user_agent"] == "counting/1.0"
    assert row["usage_estimated"] is False
    assert row["duration_ms"] >= 0


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "wish, served, rates",
    [
        ({"speed": "fast"}, "fast", FAST),
        ({"inference_geo": "us"}, "us", US),
        ({"speed": "fast", "inference_geo": "us"}, "fast_us", Rates("6.6", "33", "8.25", "13.2", "0.66")),
        ({"speed": "standard", "inference_geo": "global"}, "standard", Rates()),
    ],
    ids=["fast", "us", "fast and us", "neither"],
)
def test_fast_mode_and_inference_in_one_country_have_their_own_prices(
    make_tenant, worker: int, wish: dict, served: str, rates: Rates, is_stream: bool
) -> None:
    tenant = make_tenant(rates=Rates(fast=FAST, us=US))
    assert tenant.post(tenant.body(WORDS, stream=is_stream, **wish), worker).status_code == 200
    [row] = tenant.rows(1)
    assert (row["service_tier"], tokens_of(row)) == (served, TOKENS)
    assert nano(row["cost"]) == rates.cost(TOKENS)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("platform, family", [("openai", "gpt-"), ("gemini", "gemini-")])
def test_images_sound_and_searches_have_their_own_prices(
    make_tenant, platform: str, family: str, is_stream: bool
) -> None:
    tenant = make_tenant(
        accounts=[{"platform": platform, "multiplier": "1.3"}], group={"platform": platform}, family=family,
        rates=Rates(
            image_input="5.000000001", audio_input="32", audio_output="64.000000007", web_search="0.014", request="0.002"
        ),
    )
    words = "i1234-o567-cr890-ii300-ai70-io33-ao44-ws2"
    if platform == "openai":
        path, body = "/v1/responses", {"model": tenant.named(words), "input": "hi", "stream": is_stream}
    else:
        action = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
        path = f"/v1beta/models/{tenant.named(words)}:{action}"
        body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert tenant.post(body, path=path).status_code == 200
    [row] = tenant.rows(1)
    assert tokens_of(row) == {**dict.fromkeys(TOKENS, 0), "input_tokens": 1234, "output_tokens": 567,
                              "cache_read_tokens": 890}
    assert [row[column] for column in MEDIA.values()] == [300, 70, 33, 44]
    assert row["web_searches"] == 2
    assert nano(row["cost"]) == tenant.rates.cost(row, account_multiplier="1.3")


def test_writes_to_openais_cache_are_billed_as_such(make_tenant) -> None:
    tenant = make_tenant(accounts=[{"platform": "openai"}], group={"platform": "openai"}, family="gpt-")
    body = tenant.body("i500-o60-cr70-cw80")
    for path in ("/v1/chat/completions", "/v1/messages"):
        assert tenant.post(body, path=path).status_code == 200
    for row in tenant.rows(2):
        assert (row["input_tokens"], row["cache_creation_5m_tokens"], row["cache_read_tokens"]) == (500, 80, 70)
        assert nano(row["cost"]) == tenant.rates.cost(row)


@pytest.mark.parametrize(
    "group, account", [("1", "1"), ("1.5", "1"), ("0.3333", "1"), ("1", "1.25"), ("0.0001", "0.0001"), ("0", "1")]
)
def test_multipliers_of_group_and_account(make_tenant, group: str, account: str) -> None:
    tenant = make_tenant(
        accounts=[{"multiplier": account}], group={"multiplier": group},
        rates=Rates("3.000000001", "15.7", "3.75", "6.000000003", "0.3"),
    )
    assert tenant.post(tenant.body(WORDS)).status_code == 200
    [row] = tenant.rows(1)
    assert nano(row["cost"]) == tenant.rates.cost(TOKENS, group, account)
    assert (row["multiplier"], row["account_multiplier"]) == (group, account)


def test_halves_are_rounded_to_even_in_each_class(make_tenant) -> None:
    # 0.0005 USD a million tokens: a token costs half a nano-USD.
    tenant = make_tenant(rates=Rates("0.0005", "0.0005", "0.0005", "0.0005", "0.0005"))
    expected = []
    for words in ("i1-o1", "i3-o1", "i5-o7", "i2-o2"):
        assert tenant.post(tenant.body(words)).status_code == 200
        numbers = [int(part[1:]) for part in words.split("-")]
        expected.append(tenant.rates.cost({"input_tokens": numbers[0], "output_tokens": numbers[1]}))
    assert [nano(row["cost"]) for row in tenant.rows(4)] == expected == [0, 2, 6, 2]


def test_the_wallet_is_the_sum_of_its_ledger(tenant: Tenant) -> None:
    before = balance_of(tenant)
    for number in range(6):
        assert tenant.post(tenant.body(WORDS, stream=number % 2 == 0), number % 2).status_code == 200
    rows = tenant.rows(6)
    spent = sum(nano(row["cost"]) for row in rows)
    assert spent == 6 * tenant.rates.cost(TOKENS)
    assert before - balance_of(tenant) == spent
    entries = tenant.admin.items(f"users/{tenant.user['id']}/balance")
    assert sum(nano(entry["amount"]) for entry in entries) == balance_of(tenant)
    charges = {entry["request_id"] for entry in entries if entry["kind"] == "charge"}
    assert charges == {row["request_id"] for row in rows}


def test_v1_usage_is_exact(tenant: Tenant, worker: int) -> None:
    for number in range(5):
        assert tenant.post(tenant.body(WORDS), number % 2).status_code == 200
    # Right after the calls, without waiting for the book of record.
    def counted() -> bool:
        return tenant.usage(worker)["today"]["requests"] == 5

    until("all five are counted", counted)
    usage = tenant.usage(worker)
    for period in (usage["today"], usage["total"]):
        assert period["requests"] == 5
        assert period["input_tokens"] == 5 * 1234
        assert period["output_tokens"] == 5 * 567
        assert period["cache_creation_tokens"] == 5 * (321 + 99)
        assert period["cache_read_tokens"] == 5 * 890
        assert period["total_tokens"] == 5 * sum(TOKENS.values())
        assert nano(period["cost"]) == 5 * tenant.rates.cost(TOKENS)
    assert usage["quota"] is None and usage["policy"] is None and usage["expires_at"] is None
    tenant.rows(5)
    until("the balance is the wallet's", lambda: nano(tenant.usage(worker)["balance"]) == balance_of(tenant))


def test_v1_usage_is_this_keys_only(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body(WORDS), worker).status_code == 200
    tenant.rows(1)
    other = tenant.admin.create("keys", name="other", user_id=tenant.user["id"], group_id=tenant.group["id"])
    first, tenant.key = tenant.key, other["key"]
    usage = tenant.usage(worker)
    assert usage["today"]["requests"] == usage["total"]["requests"] == 0
    # The wallet stays the user's.
    assert nano(usage["balance"]) == balance_of(tenant)
    tenant.key = first


def test_rows_add_up_to_the_simulators_own_record(tenant: Tenant) -> None:
    """A crowd of calls on both workers: not one is missing and not one is there twice."""

    def one(number: int) -> tuple[int, str]:
        words = f"i{number + 1}-o{number * 3 + 1}-cr{number % 7}-cw{number % 5}-c1h{number % 3}"
        answer = tenant.post(tenant.body(words, stream=number % 2 == 0, text=str(number)), number % 2)
        return answer.status_code, answer.headers["x-request-id"]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(120)))
    assert {status for status, _ in answers} == {200}
    rows = tenant.rows(120, seconds=30)
    assert {row["request_id"] for row in rows} == {request_id for _, request_id in answers}
    stats = tenant.simulator.stats(tenant.accounts[0].secret)
    assert stats["completed"] == 120
    for column in CLASSES.values():
        assert sum(row[column] for row in rows) == stats["completed_usage"][column], column
    assert sum(nano(row["cost"]) for row in rows) == sum(tenant.rates.cost(row) for row in rows)


def test_a_model_without_a_price_is_refused(tenant: Tenant, worker: int) -> None:
    answer = tenant.post({**tenant.body(), "model": "no-such-family-of-models"}, worker)
    assert answer.status_code == 400
    assert answer.headers["x-tollgate-code"] == "model_not_priced"
    assert tenant.calls() == []


def test_a_new_model_costs_what_its_family_costs(tenant: Tenant, worker: int) -> None:
    """The seed ends in family entries, so tomorrow's model is served today."""
    answer = tenant.post({**tenant.body(), "model": "claude-from-the-future-9"}, worker)
    assert answer.status_code == 200, answer.text
    [row] = tenant.rows(1)
    assert nano(row["cost"]) > 0


def test_an_exact_price_wins_over_a_prefix_and_the_longest_prefix_over_shorter_ones(tenant: Tenant) -> None:
    made = [
        tenant.admin.create("prices", model=f"{tenant.model}-sim-i100", match="prefix", **Rates("100").fields()),
        tenant.admin.create("prices", model=f"{tenant.model}-sim-i1000-o0", match="exact", **Rates("1000").fields()),
    ]
    try:
        tenant.await_workers()
        for words, price in (("i10-o0", "3"), ("i100-o0", "100"), ("i1000-o0", "1000"), ("i10000-o0", "100")):
            answer = tenant.post(tenant.body(words))
            assert answer.status_code == 200
            row = tenant.row(answer.headers["x-request-id"])
            assert nano(row["cost"]) == Rates(price).cost({"input_tokens": int(words[1:-3])}), words
    finally:
        for price in made:
            tenant.admin.delete("prices", price)


def test_usage_pages_and_filters(tenant: Tenant) -> None:
    for number in range(5):
        assert tenant.post(tenant.body(f"o{number + 1}")).status_code == 200
    tenant.rows(5)
    seen, cursor = [], {}
    for expected in (2, 2, 1):
        page = tenant.admin.get("/admin/usage", key_id=tenant.key_row["id"], page_size=2, **cursor)
        assert len(page["items"]) == expected
        seen += [row["output_tokens"] for row in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    # Newest first.
    assert seen == [5, 4, 3, 2, 1]
    assert page["next_cursor"] is None
    for query in ({"user_id": tenant.user["id"]}, {"group_id": tenant.group["id"]},
                  {"account_id": tenant.accounts[0].row["id"]}):
        assert len(tenant.admin.items("usage", **query)) == 5, query
    assert tenant.admin.items("usage", key_id=tenant.key_row["id"], model=tenant.named("o3"))[0]["output_tokens"] == 3
