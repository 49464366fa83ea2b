"""Renewals beside kills and rotations: two workers, two control planes, one account's tokens."""

import concurrent.futures
import os
import signal
import threading
from collections.abc import Iterator

import pytest
import redis

from harness.planes import ControlPlane, Database
from harness.simulator import Simulator
from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until
from test_oauth import account_of, expire, oauth_tenant, renewals  # noqa: F401

pytestmark = [pytest.mark.disruptive, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def whole_stack(stack: Stack, simulator: Simulator, oauth_tenant: Tenant) -> Iterator[None]:  # noqa: F811
    """Runs again when the test is over, before what the test has made is deleted."""
    yield
    simulator._send("POST", "tokens", {"lifetime": None, "expired": []})
    stack.local("start", "control-plane")


@pytest.fixture
def second(stack: Stack) -> Iterator[ControlPlane]:
    with ControlPlane(stack) as plane:
        yield plane


def renew(plane: ControlPlane, tenant: Tenant) -> bool:
    path = f"/admin/accounts/{tenant.accounts[0].row['id']}/refresh"
    return plane.admin.send("POST", path, timeout=40).status_code == 200


def newest(simulator: Simulator) -> int:
    """The id of the last request that the simulator has had."""
    last = 0
    while (page := simulator._send("GET", "requests", since=last, limit=1000, bodies=0))["requests"]:
        last = page["last"]
    return last


def in_background(run) -> threading.Thread:
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_killed_between_the_answer_and_its_write_the_tokens_are_not_lost(
    oauth_tenant: Tenant, simulator: Simulator, stack: Stack, second: ControlPlane
) -> None:
    """The provider has replaced the refresh token, and the only process that knows the new one dies by SIGKILL."""
    tenant = oauth_tenant
    account = tenant.accounts[0].row["id"]
    assert tenant.post(tenant.body("e3")).status_code == 200
    expire(simulator, tenant.accounts[0].secret)
    with Database(stack).hold("accounts", account) as row:
        # A call finds the token stale; the control plane has the answer and cannot write it.
        call = in_background(lambda: tenant.post(tenant.body("e3")))
        until("the endpoint has answered", lambda: renewals(simulator, "anthropic", tenant.refresh_token))
        # With the tokens in it the note is three times as long.
        note = redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL"))
        until("the new tokens are noted", lambda: note.strlen(f"tg:{{a{account}}}:rotation") > 300)
        until("and wait to be written", row.is_wanted)
        os.kill(stack.control_pid, signal.SIGKILL)
    call.join()
    # Nobody but the other control plane is there; it asks no endpoint, because the old token is of no use any more.
    until("the other control plane has the tokens", lambda: renew(second, tenant), seconds=45)
    assert len(renewals(simulator, "anthropic", tenant.refresh_token)) == 1
    shown = second.admin.get(f"/admin/accounts/{account}")
    assert shown["status"] == "active" and shown["credentials"]["sign_in_state"] == "signed_in"
    assert shown["credentials"].get("refresh_error") is None
    stack.local("start", "control-plane")
    # The call that was there got no new token in time, and has paused the account.
    tenant.admin.call("POST", f"/admin/accounts/{account}/clear-flags")
    for worker in (0, 1):
        until("calls are served", lambda: tenant.post(tenant.body("e3"), worker).status_code == 200)
    # The refresh token is the newest: the provider takes it.
    assert renew(second, tenant)
    assert len(renewals(simulator, "anthropic")) >= 2 and account_of(tenant)["status"] == "active"


def test_killed_before_the_answer_the_account_says_what_happened(
    oauth_tenant: Tenant, simulator: Simulator, stack: Stack, second: ControlPlane
) -> None:
    """What the provider said is lost for ever: it has replaced the token, and nobody has the new one."""
    tenant = oauth_tenant
    simulator.arm("slow5000", tenant.refresh_token)
    asked = in_background(lambda: pytest.raises(Exception, tenant.admin.call, "POST",
                                                f"/admin/accounts/{tenant.accounts[0].row['id']}/refresh"))
    until("the endpoint is asked", lambda: renewals(simulator, "anthropic", tenant.refresh_token))
    os.kill(stack.control_pid, signal.SIGKILL)
    asked.join()

    def needs_sign_in() -> dict | None:
        renew(second, tenant)
        shown = second.admin.get(f"/admin/accounts/{tenant.accounts[0].row['id']}")
        return shown if shown["credentials"]["sign_in_state"] == "needs_reauth" else None

    shown = until("the account needs a sign-in", needs_sign_in, seconds=45)
    assert shown["status"] == "error"
    assert "was cut off before its answer was stored" in shown["error_message"]
    assert tenant.refresh_token not in shown["error_message"]


def test_killed_before_the_answer_and_not_replaced_the_account_is_well(
    oauth_tenant: Tenant, simulator: Simulator, stack: Stack, second: ControlPlane
) -> None:
    """The same where the provider keeps refresh tokens: the next renewal simply succeeds."""
    tenant = oauth_tenant
    simulator._send("POST", "tokens", {"rotates": False})
    try:
        simulator.arm("slow5000", tenant.refresh_token)
        asked = in_background(lambda: pytest.raises(Exception, tenant.admin.call, "POST",
                                                    f"/admin/accounts/{tenant.accounts[0].row['id']}/refresh"))
        until("the endpoint is asked", lambda: renewals(simulator, "anthropic", tenant.refresh_token))
        os.kill(stack.control_pid, signal.SIGKILL)
        asked.join()
        until("the other control plane renews", lambda: renew(second, tenant), seconds=45)
        shown = second.admin.get(f"/admin/accounts/{tenant.accounts[0].row['id']}")
        assert shown["status"] == "active" and shown["credentials"]["sign_in_state"] == "signed_in"
    finally:
        simulator._send("POST", "tokens", {"rotates": None})


def test_rotations_under_load_never_roll_back_and_disable_nothing(
    oauth_tenant: Tenant, simulator: Simulator, second: ControlPlane
) -> None:
    """Tokens that last five seconds: each is replaced while calls that carry it are under way, on two workers, by two
    control planes, an admin among them. Every call is answered, and no refresh token is used twice."""
    tenant = oauth_tenant
    since = newest(simulator)
    simulator._send("POST", "tokens", {"lifetime": 5})
    expire(simulator, tenant.accounts[0].secret)
    stop = threading.Event()
    statuses: list[tuple[int, str | None]] = []

    def load(number: int) -> None:
        while not stop.is_set():
            answer = tenant.post(tenant.body("e3-l50"), number % 2)
            statuses.append((answer.status_code, answer.headers.get("x-tollgate-code")))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        running = [pool.submit(load, number) for number in range(16)]
        try:
            for _ in range(6):
                renew(second, tenant)
                done = len(statuses) + 60
                until("calls go on", lambda: len(statuses) >= done, seconds=30)
        finally:
            stop.set()
        for thread in running:
            thread.result()
    assert set(statuses) == {(200, None)}, {status: statuses.count(status) for status in set(statuses)}
    account = account_of(tenant)
    assert account["status"] == "active" and account["credentials"]["sign_in_state"] == "signed_in"
    answers = [record["status"] for record in renewals(simulator, "anthropic", since=since)]
    # invalid_grant would be a 400: a token that was used before.
    assert len(answers) >= 6 and set(answers) == {200}, answers
    simulator._send("POST", "tokens", {"lifetime": None})
    assert renew(second, tenant)
