"""The trace of a call: which accounts there were, why some were skipped, what each attempt came to."""

import pytest

from harness.waiting import until


def trace(admin, request_id: str) -> dict:
    """As soon as it is kept: it leaves the worker with the call's settlement."""
    def read() -> dict | None:
        answer = admin.send("GET", f"/admin/requests/{request_id}/trace")
        return answer.json() if answer.status_code == 200 else None

    return until(f"a trace of {request_id}", read)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_failed_over_call_explains_itself(make_tenant, admin, worker: int, is_stream: bool) -> None:
    tenant = make_tenant(accounts=[{"words": "529", "priority": 1}, {"priority": 2}])
    answer = tenant.post(tenant.body("i5-o6", stream=is_stream), worker)
    assert answer.status_code == 200, answer.text
    found = trace(admin, answer.headers["x-request-id"])
    first, second = (account.row["id"] for account in tenant.accounts)
    assert [attempt["account_id"] for attempt in found["attempts"]] == [first, second]
    assert [attempt["verdict"] for attempt in found["attempts"]] == ["overloaded", "answered"]
    assert found["attempts"][0]["effects"][0]["kind"] == "overloaded"
    assert found["outcome"] == {"status": 200, "end": "complete", "error": None}
    [row] = tenant.rows(1)
    assert found["money"]["cost"] == row["cost"]
    assert "Hello" not in str(found)

    # The other worker knows as well whom to leave alone, and says so.
    again = tenant.post(tenant.body("i5-o6"), 1 - worker)
    assert again.status_code == 200
    later = trace(admin, again.headers["x-request-id"])
    skipped = {entry["account_id"]: entry.get("skipped") for entry in later["candidates"] + later["refusals"]}
    assert skipped[first] == "overloaded"
    assert [attempt["account_id"] for attempt in later["attempts"]] == [second]


def test_unknown_and_nonsense_ids_have_none(admin) -> None:
    for request_id in ("req_000000000000000000000000", "x" * 500, "%00", "now"):
        assert admin.send("GET", f"/admin/requests/{request_id}/trace").status_code == 404


def test_traces_are_for_admins(admin) -> None:
    answer = admin.client.get("/admin/requests/req_x/trace", headers={"authorization": "Bearer nonsense"})
    assert answer.status_code == 401
