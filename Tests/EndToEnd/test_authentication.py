"""Who gets in: SPEC 4, steps 1 to 4, in their order, the same on both workers."""

import datetime
import secrets
import zlib

import httpx
import pytest

from harness.tenancy import ANTHROPIC_VERSION, Tenant
from harness.waiting import until

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def invented_key() -> str:
    """A key that has the form of a real one, and does not exist."""
    body = "tg-" + "".join(secrets.choice(DIGITS) for _ in range(43))
    rest, checksum = zlib.crc32(body.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        checksum = DIGITS[digit] + checksum
    return body + checksum


def call(tenant: Tenant, worker: int, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(
        tenant.gateway(worker) + "/v1/messages", headers={**ANTHROPIC_VERSION, **headers}, json=tenant.body(),
        timeout=30, trust_env=False,
    )


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["x-tollgate-code"] == code
    assert answer.headers["x-request-id"]
    document = answer.json()
    assert document["type"] == "error"
    assert document["error"]["type"] == {401: "authentication_error", 403: "permission_error"}[status]
    assert document["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {},
        lambda key: {"x-api-key": ""},
        lambda key: {"x-api-key": "nonsense"},
        lambda key: {"x-api-key": key[:-1]},
        lambda key: {"x-api-key": key + "x"},
        lambda key: {"x-api-key": key[:-1] + ("a" if key[-1] != "a" else "b")},
        lambda key: {"x-api-key": invented_key()},
        lambda key: {"authorization": f"Basic {key}"},
        lambda key: {"authorization": "Bearer"},
        lambda key: {"authorization": f"Bearer {invented_key()}"},
    ],
    ids=["none", "empty", "nonsense", "cut", "longer", "mistyped", "unknown", "basic", "bare bearer", "unknown bearer"],
)
def test_no_malformed_and_unknown_keys_are_refused(tenant: Tenant, worker: int, headers) -> None:
    assert_refused(call(tenant, worker, headers(tenant.key)), 401, "invalid_api_key")
    assert tenant.calls() == []


@pytest.mark.parametrize("name", ["x-api-key", "authorization", "x-goog-api-key"])
def test_a_key_is_taken_from_each_of_its_places(tenant: Tenant, worker: int, name: str) -> None:
    value = f"Bearer {tenant.key}" if name == "authorization" else tenant.key
    assert call(tenant, worker, {name: value}).status_code == 200


def test_a_disabled_key_is_unknown_and_comes_back(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body(), worker).status_code == 200
    tenant.admin.change("keys", tenant.key_row, status="disabled")
    assert_refused(tenant.post(tenant.body(), worker), 401, "invalid_api_key")
    tenant.admin.change("keys", tenant.key_row, status="active")
    assert tenant.post(tenant.body(), worker).status_code == 200


def test_a_deleted_key_is_unknown(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body(), worker).status_code == 200
    tenant.admin.delete("keys", tenant.key_row)
    assert_refused(tenant.post(tenant.body(), worker), 401, "invalid_api_key")


def test_an_expired_key_says_so(make_tenant, worker: int) -> None:
    past = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    tenant = make_tenant(key={"expires_at": past})
    assert_refused(tenant.post(tenant.body(), worker), 403, "api_key_expired")
    assert tenant.calls() == []


def test_a_key_expires_while_it_is_in_use(tenant: Tenant) -> None:
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=5)).isoformat().replace("+00:00", "Z")
    tenant.admin.change("keys", tenant.key_row, expires_at=soon)
    assert tenant.post(tenant.body()).status_code == 200

    def has_expired() -> bool:
        answer = tenant.post(tenant.body())
        return answer.status_code == 403 and answer.headers["x-tollgate-code"] == "api_key_expired"

    until("the key has expired", has_expired)


def test_usage_also_answers_for_an_expired_key(make_tenant, worker: int) -> None:
    past = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    tenant = make_tenant(key={"expires_at": past})
    assert tenant.usage(worker)["today"]["requests"] == 0


@pytest.mark.parametrize(
    "rules, is_admitted",
    [
        ({}, True),
        ({"ip_whitelist": ["127.0.0.1"]}, True),
        ({"ip_whitelist": ["127.0.0.0/8"]}, True),
        ({"ip_whitelist": ["::ffff:127.0.0.1"]}, True),
        ({"ip_whitelist": ["10.0.0.0/8", "192.0.2.7"]}, False),
        ({"ip_whitelist": ["2001:db8::/32"]}, False),
        ({"ip_blacklist": ["127.0.0.1"]}, False),
        ({"ip_blacklist": ["10.0.0.0/8"]}, True),
        ({"ip_whitelist": ["127.0.0.0/8"], "ip_blacklist": ["127.0.0.1/32"]}, False),
    ],
    ids=lambda value: str(value),
)
def test_address_rules(make_tenant, worker: int, rules: dict, is_admitted: bool) -> None:
    tenant = make_tenant(key=rules)
    answer = tenant.post(tenant.body(), worker)
    if is_admitted:
        assert answer.status_code == 200, answer.text
    else:
        assert_refused(answer, 403, "access_denied")
        # No more than these words: not which rule, not which address.
        assert answer.json()["error"]["message"] == "Access denied"
        assert tenant.calls() == []


def test_forwarded_addresses_of_untrusted_callers_count_for_nothing(make_tenant, worker: int) -> None:
    tenant = make_tenant(key={"ip_whitelist": ["192.0.2.7"]})
    answer = tenant.post(tenant.body(), worker, **{"x-forwarded-for": "192.0.2.7"})
    assert_refused(answer, 403, "access_denied")


def test_a_disabled_user_is_refused(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body(), worker).status_code == 200
    tenant.admin.change("users", tenant.user, status="disabled")
    assert_refused(tenant.post(tenant.body(), worker), 403, "user_disabled")


def test_an_inactive_group_is_refused(tenant: Tenant, worker: int) -> None:
    assert tenant.post(tenant.body(), worker).status_code == 200
    tenant.admin.change("groups", tenant.group, status="inactive")
    assert_refused(tenant.post(tenant.body(), worker), 403, "group_inactive")


def test_models_outside_the_allowlist_are_refused(make_tenant, worker: int) -> None:
    tenant = make_tenant()
    allowed, other = tenant.named("e1"), tenant.named("e2")
    tenant.admin.change("groups", tenant.group, model_allowlist=[allowed])
    refused = until(
        "the allowlist is enforced",
        lambda: (answer := tenant.post({**tenant.body(), "model": other}, worker)).status_code == 403 and answer,
    )
    assert_refused(refused, 403, "model_not_allowed")
    assert tenant.post({**tenant.body(), "model": allowed}, worker).status_code == 200
    counted = tenant.post({**tenant.body(), "model": other}, worker, "/v1/messages/count_tokens")
    assert_refused(counted, 403, "model_not_allowed")


def test_checks_come_in_the_order_of_the_contract(make_tenant, worker: int) -> None:
    """Key before address before expiry before user before group."""
    past = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    tenant = make_tenant(key={"ip_blacklist": ["127.0.0.1"], "expires_at": past})
    tenant.admin.change("users", tenant.user, status="disabled")
    tenant.admin.change("groups", tenant.group, status="inactive")
    assert_refused(tenant.post(tenant.body(), worker), 403, "access_denied")
    tenant.admin.change("keys", tenant.key_row, ip_blacklist=[])
    assert_refused(tenant.post(tenant.body(), worker), 403, "api_key_expired")
    tenant.admin.change("keys", tenant.key_row, expires_at=None)
    assert_refused(tenant.post(tenant.body(), worker), 403, "user_disabled")
    tenant.admin.change("users", tenant.user, status="active")
    assert_refused(tenant.post(tenant.body(), worker), 403, "group_inactive")
    tenant.admin.change("groups", tenant.group, status="active")
    until("the group is active again", lambda: tenant.post(tenant.body(), worker).status_code == 200)


def test_refusals_do_not_depend_on_the_body(tenant: Tenant, worker: int) -> None:
    """A caller without a key learns nothing, not even that the body is not JSON."""
    answer = httpx.post(
        tenant.gateway(worker) + "/v1/messages", content=b"{not json", headers=ANTHROPIC_VERSION, timeout=15,
        trust_env=False,
    )
    assert_refused(answer, 401, "invalid_api_key")
