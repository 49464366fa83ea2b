"""Changes take effect at once, on every worker: not at a cache's leisure."""

import time
from concurrent.futures import ThreadPoolExecutor

from harness.tenancy import Tenant
from harness.waiting import until


def statuses(tenant: Tenant) -> list[int]:
    return [tenant.post(tenant.body(), worker).status_code for worker in (0, 1)]


def test_a_new_key_is_usable_at_once_on_both_workers(tenant: Tenant) -> None:
    for _ in range(10):
        row = tenant.admin.create(
            "keys", name="new", user_id=tenant.user["id"], group_id=tenant.group["id"]
        )
        tenant.key = row["key"]
        # No wait: the first call after the answer must pass.
        assert statuses(tenant) == [200, 200]
        tenant.admin.delete("keys", row)


def test_a_revoked_key_stops_at_once_on_both_workers(tenant: Tenant) -> None:
    for _ in range(10):
        row = tenant.admin.create(
            "keys", name="revoked", user_id=tenant.user["id"], group_id=tenant.group["id"]
        )
        tenant.key = row["key"]
        assert statuses(tenant) == [200, 200]
        tenant.admin.change("keys", row, status="disabled")
        assert statuses(tenant) == [401, 401]
        tenant.admin.change("keys", row, status="active")
        assert statuses(tenant) == [200, 200]
        tenant.admin.delete("keys", row)
        assert statuses(tenant) == [401, 401]


def test_a_revoked_key_stops_also_where_no_money_is_reserved(tenant: Tenant, worker: int) -> None:
    for path in ("/v1/usage", "/v1/models"):
        assert tenant.get(path, worker).status_code == 200
    assert tenant.post(tenant.body(), worker, "/v1/messages/count_tokens").status_code == 200
    tenant.admin.delete("keys", tenant.key_row)
    for path in ("/v1/usage", "/v1/models"):
        assert tenant.get(path, worker).status_code == 401
    assert tenant.post(tenant.body(), worker, "/v1/messages/count_tokens").status_code == 401


def test_a_key_that_was_disabled_in_every_cache_is_usable_at_once_again(tenant: Tenant) -> None:
    tenant.admin.change("keys", tenant.key_row, status="disabled")
    # Both workers have it cached as refused now, under load.
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda n: tenant.post(tenant.body(), n % 2).status_code, range(40)))
    assert set(refused) == {401}
    tenant.admin.change("keys", tenant.key_row, status="active")
    assert statuses(tenant) == [200, 200]


def test_a_call_under_way_survives_the_revocation_of_its_key(tenant: Tenant, worker: int) -> None:
    """It was admitted: it is answered whole and billed."""
    import anthropic

    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0)
    with client.messages.stream(**tenant.body("e20-d50")) as stream:
        events = iter(stream)
        next(events)
        tenant.admin.delete("keys", tenant.key_row)
        kinds = [event.type for event in events]
    assert kinds[-1] == "message_stop"
    [row] = tenant.rows(1)
    assert row["end"] == "complete"


def test_a_user_disabled_stops_all_of_their_keys_at_once(tenant: Tenant) -> None:
    second = tenant.admin.create("keys", name="second", user_id=tenant.user["id"], group_id=tenant.group["id"])
    first = tenant.key
    for key in (first, second["key"]):
        tenant.key = key
        assert statuses(tenant) == [200, 200]
    tenant.admin.change("users", tenant.user, status="disabled")
    for key in (first, second["key"]):
        tenant.key = key
        assert statuses(tenant) == [403, 403]


def test_account_changes_reach_both_workers_within_a_second(tenant: Tenant) -> None:
    def change(schedulable: bool, status: int) -> float:
        tenant.admin.change("accounts", tenant.accounts[0].row, schedulable=schedulable)
        began = time.monotonic()
        for worker in (0, 1):
            until(f"{status}", lambda: tenant.post(tenant.body(), worker).status_code == status)
        return time.monotonic() - began

    # On a busy machine one of some shows how long it takes.
    times = [change(*pair) for pair in [(False, 503), (True, 200)] * 3]
    assert min(times[::2]) < 1.5 and min(times[1::2]) < 1.5, times
