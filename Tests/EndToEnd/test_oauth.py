"""OAuth accounts through the whole stack: signed in, renewed on demand by two workers, refused, signed out."""

import concurrent.futures
import datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from harness.admin import Admin
from harness.simulator import Simulator
from harness.tenancy import Account, Tenant, unique
from harness.waiting import until

TOKEN_PATHS = {"anthropic": "/v1/oauth/token", "openai": "/oauth/token", "gemini": "/token", "antigravity": "/token"}


def browse(url: str) -> str:
    """Signs in in the browser's place; the simulator says yes at once."""
    answer = httpx.get(url, follow_redirects=False, timeout=15, trust_env=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def sign_in(admin: Admin, platform: str, account: dict | None = None, **start: object) -> dict:
    begun = admin.call("POST", "/admin/accounts/oauth/start", {"platform": platform, **start})
    body = {"redirect_url": browse(begun["url"])}
    if account is not None:
        body["account"] = account
    return admin.call("POST", "/admin/accounts/oauth/finish", body)



def renewals(simulator: Simulator, platform: str, refresh_token: str | None = None, since: int = 0) -> list[dict]:
    """The renewals that the simulator was asked for, of one refresh token or of all."""
    found = []
    while True:
        page = simulator._send("GET", "requests", since=since, limit=1000)
        for record in page["requests"]:
            body = record.get("body") or ""
            if record["path"] == TOKEN_PATHS[platform] and "refresh_token" in body:
                if refresh_token is None or refresh_token in body:
                    found.append(record)
        if not page["requests"]:
            return found
        since = page["last"]


@pytest.fixture
def oauth_tenant(make_tenant, simulator: Simulator) -> Tenant:
    """A tenant whose one account has a login: tokens that the simulator takes, and renews."""
    tenant = make_tenant(accounts=[])
    access, refresh = unique("sk-ant-oat01-"), unique("sk-ant-ort01-")
    row = tenant.admin.create(
        "accounts",
        name=unique("login "),
        platform="anthropic",
        type="oauth",
        credentials={"access_token": access, "refresh_token": refresh, "base_url": simulator.url},
        group_ids=[tenant.group["id"]],
        concurrency=500,
    )
    tenant.accounts.append(Account(row, access))
    tenant.refresh_token = refresh
    tenant.await_workers()
    return tenant


def account_of(tenant: Tenant) -> dict:
    return tenant.admin.get(f"/admin/accounts/{tenant.accounts[0].row['id']}")


def expire(simulator: Simulator, access_token: str) -> None:
    simulator._send("POST", "tokens", {"expired": [access_token]})


@pytest.mark.parametrize("platform", sorted(TOKEN_PATHS))
def test_an_account_is_signed_in_and_signed_in_again(admin: Admin, simulator: Simulator, platform: str) -> None:
    row = sign_in(admin, platform, {"name": unique("signed in "), "credentials": {"base_url": simulator.url}})
    try:
        assert (row["platform"], row["type"], row["status"]) == (platform, "oauth", "active")
        credentials = row["credentials"]
        assert credentials["access_token"] == credentials["refresh_token"] == "•••"
        assert credentials["sign_in_state"] == "signed_in" and credentials["expires_at"]
        again = sign_in(admin, platform, account_id=row["id"])
        assert again["id"] == row["id"]
        renewed = admin.call("POST", f"/admin/accounts/{row['id']}/refresh")
        assert renewed["credentials"]["sign_in_state"] == "signed_in"
        assert renewed["credentials"]["expires_at"] >= again["credentials"]["expires_at"]
    finally:
        admin.delete("accounts", row)


def test_a_signed_in_account_serves(make_tenant, simulator: Simulator, worker: int) -> None:
    tenant = make_tenant(accounts=[])
    row = sign_in(
        tenant.admin,
        "anthropic",
        {
            "name": unique("signed in "),
            "group_ids": [tenant.group["id"]],
            "credentials": {"base_url": simulator.url},
        },
    )
    tenant.accounts.append(Account(row, ""))
    tenant.await_workers()
    answer = tenant.post(tenant.body("e3"), worker)
    assert answer.status_code == 200, answer.text


def test_a_state_is_good_once_and_in_its_session(admin: Admin, stack) -> None:
    begun = admin.call("POST", "/admin/accounts/oauth/start", {"platform": "gemini"})
    assert parse_qs(urlsplit(begun["url"]).query)["code_challenge_method"] == ["S256"]
    body = {"redirect_url": browse(begun["url"]), "account": {"name": unique("once ")}}
    stranger = Admin(stack.admin_url, stack.read("TOLLGATE_ADMIN_EMAIL"), stack.read("TOLLGATE_ADMIN_PASSWORD"))
    assert stranger.send("POST", "/admin/accounts/oauth/finish", body).status_code == 409
    row = admin.call("POST", "/admin/accounts/oauth/finish", body)
    assert admin.send("POST", "/admin/accounts/oauth/finish", body).status_code == 409
    admin.delete("accounts", row)


def test_a_hundred_stale_calls_on_two_workers_make_one_renewal(oauth_tenant: Tenant, simulator: Simulator) -> None:
    tenant = oauth_tenant
    assert tenant.post(tenant.body("e3")).status_code == 200
    expire(simulator, tenant.accounts[0].secret)
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda number: tenant.post(tenant.body("e3"), number % 2), range(100)))
    assert [answer.status_code for answer in answers] == [200] * 100
    assert len(renewals(simulator, "anthropic", tenant.refresh_token)) == 1
    account = account_of(tenant)
    assert account["status"] == "active" and account["credentials"]["expires_at"]
    assert tenant.post(tenant.body("e3"), 1).status_code == 200


def paused_account(tenant: Tenant) -> dict:
    def is_paused() -> dict | None:
        account = account_of(tenant)
        assert account["status"] == "active"
        return account if account["temp_unschedulable_until"] else None

    return until("the account is paused", is_paused)


def test_a_refused_token_pauses_the_account_and_another_serves(
    oauth_tenant: Tenant, simulator: Simulator, worker: int
) -> None:
    """SPEC 6, 401 of a login: temp-unschedulable for ten minutes, however well its renewal goes; a success ends it."""
    tenant = oauth_tenant
    tenant.add_account(priority=90)
    tenant.await_workers()
    simulator.arm("401", tenant.accounts[0].secret)
    assert tenant.post(tenant.body("e3"), worker).status_code == 200
    assert len(tenant.calls(0)) == 1 and len(tenant.calls(1)) == 1
    account = paused_account(tenant)
    end = datetime.datetime.fromisoformat(account["temp_unschedulable_until"])
    assert 570 < (end - datetime.datetime.now(datetime.timezone.utc)).total_seconds() <= 602
    assert account["temp_unschedulable_reason"].startswith("401")
    # Beside that its token is renewed, once.
    until("it is renewed", lambda: len(renewals(simulator, "anthropic", tenant.refresh_token)) == 1)
    for number in (0, 1):
        assert tenant.post(tenant.body("e3"), number).status_code == 200
    assert len(tenant.calls(1)) == 3
    path = f"/admin/accounts/{account['id']}/test"
    with tenant.admin.client.stream("POST", path, json={"model": tenant.named("e3")}, timeout=30) as test:
        assert '"success":true' in test.read().decode().replace(" ", "")
    assert account_of(tenant)["temp_unschedulable_until"] is None
    for number in (0, 1):

        def serves_again() -> bool:
            tenant.forget_calls()
            assert tenant.post(tenant.body("e3"), number).status_code == 200
            return len(tenant.calls(1)) == 0

        until("it serves again", serves_again)


def test_a_login_all_of_whose_tokens_are_refused_is_paused(oauth_tenant: Tenant, simulator: Simulator) -> None:
    """The one account of a group: the call waits for a new token; when that is refused as well, the account is paused and
    not in error, because between the two were moments."""
    tenant = oauth_tenant
    assert tenant.post(tenant.body("401")).status_code == 502
    account = paused_account(tenant)
    assert account["temp_unschedulable_reason"].startswith("401")
    for number in (0, 1):
        assert tenant.post(tenant.body("e3"), number).status_code == 503


def test_an_antigravity_login_gets_its_project(admin: Admin, simulator: Simulator) -> None:
    """One that has none: it is made at sign-in, and where tokens were pasted, with a renewal at once."""
    simulator._send("POST", "tokens", {"lacks_projects": True})
    rows = []
    try:
        rows.append(sign_in(admin, "antigravity", {"name": unique("project "),
                                                   "credentials": {"base_url": simulator.url}}))
        assert rows[0]["credentials"]["project_id"] == "sim-project"
        named = {"base_url": simulator.url, "project_id": "mine"}
        rows.append(sign_in(admin, "antigravity", {"name": unique("project "), "credentials": named}))
        assert rows[1]["credentials"]["project_id"] == "mine"
        for further in ({}, {"access_token": unique("ya29."), "expires_at": "2040-01-01T00:00:00Z"}):
            tokens = {"refresh_token": unique("1//"), "base_url": simulator.url, **further}
            row = admin.create("accounts", name=unique("pasted "), platform="antigravity", type="oauth", credentials=tokens)
            rows.append(row)

            def project() -> str | None:
                return admin.get(f"/admin/accounts/{row['id']}")["credentials"].get("project_id")

            assert until("the project is found", project, seconds=40) == "sim-project"
    finally:
        simulator._send("POST", "tokens", {"lacks_projects": False})
        for row in rows:
            admin.delete("accounts", row)


def test_a_refused_token_is_renewed_and_the_account_is_well(oauth_tenant: Tenant, simulator: Simulator, worker) -> None:
    """The one account of a group: the call goes on with a new token."""
    tenant = oauth_tenant
    simulator.arm("401", tenant.accounts[0].secret)
    assert tenant.post(tenant.body("e3"), worker).status_code == 200
    assert len(renewals(simulator, "anthropic", tenant.refresh_token)) == 1
    account = account_of(tenant)
    assert account["status"] == "active"


def test_without_a_new_token_the_account_is_paused_and_another_serves(
    oauth_tenant: Tenant, simulator: Simulator, worker: int
) -> None:
    tenant = oauth_tenant
    # The token endpoint fails: nothing new can be had.
    simulator.arm("503", tenant.refresh_token, count=100)
    tenant.add_account(priority=90)
    tenant.await_workers()
    expire(simulator, tenant.accounts[0].secret)
    answer = tenant.post(tenant.body("e3"), worker)
    assert answer.status_code == 200, answer.text
    assert len(tenant.calls(1)) == 1

    def is_paused() -> bool:
        account = account_of(tenant)
        assert account["status"] == "active"
        return account["temp_unschedulable_until"] is not None

    until("the account is paused", is_paused)
    assert account_of(tenant)["credentials"]["refresh_error"].startswith("503")


def test_a_refresh_token_that_is_gone_puts_the_account_in_error_until_it_is_signed_in(
    oauth_tenant: Tenant, simulator: Simulator
) -> None:
    tenant = oauth_tenant
    simulator.arm("400", tenant.refresh_token, count=100)
    expire(simulator, tenant.accounts[0].secret)
    assert tenant.post(tenant.body("e3")).status_code >= 500

    def needs_reauth() -> dict | None:
        account = account_of(tenant)
        return account if account["credentials"]["sign_in_state"] == "needs_reauth" else None

    account = until("the account needs a sign-in", needs_reauth)
    assert account["status"] == "error" and "invalid_grant" in account["error_message"]
    assert tenant.refresh_token not in account["error_message"]
    signed_in = sign_in(tenant.admin, "anthropic", account_id=account["id"])
    assert signed_in["status"] == "active" and signed_in["credentials"]["sign_in_state"] == "signed_in"


def test_signing_in_again_ends_what_workers_know_of_the_old_login(oauth_tenant: Tenant, simulator: Simulator) -> None:
    """An error that an upstream has caused stands in Redis as well, for every worker."""
    tenant = oauth_tenant
    simulator.arm("402", tenant.accounts[0].secret)
    assert tenant.post(tenant.body("e3")).status_code == 502
    until("it is in error", lambda: account_of(tenant)["status"] == "error")
    assert [tenant.post(tenant.body("e3"), worker).status_code for worker in (0, 1)] == [503, 503]
    signed_in = sign_in(tenant.admin, "anthropic", account_id=tenant.accounts[0].row["id"])
    assert signed_in["status"] == "active" and signed_in["error_message"] is None
    for worker in (0, 1):
        until("it serves again", lambda: tenant.post(tenant.body("e3"), worker).status_code == 200, 10)
    assert account_of(tenant)["status"] == "active"


def test_tokens_are_renewed_ahead_of_their_end(oauth_tenant: Tenant, simulator: Simulator) -> None:
    tenant = oauth_tenant
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=90)
    row = tenant.accounts[0].row
    tenant.admin.change("accounts", row, credentials={"expires_at": soon.isoformat()})

    def is_renewed() -> bool:
        return account_of(tenant)["credentials"]["expires_at"] > (soon + datetime.timedelta(hours=1)).isoformat()

    until("renewed in the background", is_renewed, seconds=30)
    assert len(renewals(simulator, "anthropic", tenant.refresh_token)) == 1
