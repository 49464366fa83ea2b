"""What operators look at: probes, metrics, logs."""

import json
import uuid

import httpx
import pytest

from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until


def get(url: str, **options: object) -> httpx.Response:
    return httpx.get(url, timeout=10, trust_env=False, **options)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probes_answer_on_both_ports(stack: Stack, worker: int, path: str) -> None:
    for base in (stack.gateways[worker], stack.ops_urls[worker]):
        answer = get(base + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/json")


def test_the_control_plane_has_probes_too(stack: Stack) -> None:
    base = f"http://127.0.0.1:{stack.port('CONTROL_OPS')}"
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert get(base + path).status_code == 200, path


def samples(text: str) -> dict[str, float]:
    """Metric lines by name and labels; every line must be one that Prometheus can read."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name[0].isalpha()
            found[name] = float(value)
    return found


def test_metrics_count_calls(tenant: Tenant, stack: Stack, worker: int) -> None:
    def total() -> float:
        answer = get(stack.ops_urls[worker] + "/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        counted = [value for name, value in samples(answer.text).items() if name.startswith("tollgate_requests_total")]
        return sum(counted)

    before = total()
    for _ in range(5):
        assert tenant.post(tenant.body(), worker).status_code == 200
    until("five more are counted", lambda: total() >= before + 5)


def test_metrics_name_no_key_and_no_account(tenant: Tenant, stack: Stack, worker: int) -> None:
    assert tenant.post(tenant.body(), worker).status_code == 200
    text = get(stack.ops_urls[worker] + "/metrics").text
    assert tenant.key not in text
    assert tenant.accounts[0].secret not in text


def test_a_line_a_call_and_no_word_of_its_text(tenant: Tenant, stack: Stack, worker: int) -> None:
    secret_words = f"secret {uuid.uuid4().hex}"
    answer = tenant.post(tenant.body(text=secret_words), worker)
    assert secret_words in answer.text
    request_id = answer.headers["x-request-id"]
    part = f"worker-{worker + 1}"
    until("the call is logged", lambda: request_id in stack.log(part))
    lines = [json.loads(line) for line in stack.log(part).splitlines() if request_id in line]
    assert len(lines) == 1
    for name in ("worker-1", "worker-2", "control-plane"):
        log = stack.log(name)
        for secret in (secret_words, tenant.key, tenant.accounts[0].secret):
            assert secret not in log, name


def test_every_log_line_is_json(stack: Stack) -> None:
    for part in ("worker-1", "worker-2", "control-plane"):
        for line in stack.log(part).splitlines():
            assert isinstance(json.loads(line), dict), line


def test_request_ids_are_the_gateways_own(tenant: Tenant, worker: int) -> None:
    """A caller's id is no key to somebody else's bill."""
    ids = set()
    for _ in range(3):
        answer = tenant.post(tenant.body(), worker, **{"x-request-id": "chosen-by-the-caller"})
        ids.add(answer.headers["x-request-id"])
    assert len(ids) == 3 and "chosen-by-the-caller" not in ids
    tenant.rows(3)


def test_secrets_never_come_back_from_the_admin_api(tenant: Tenant) -> None:
    for path in (f"/admin/accounts/{tenant.accounts[0].row['id']}", "/admin/accounts?page_size=100",
                 f"/admin/keys/{tenant.key_row['id']}", "/admin/keys?page_size=100", "/admin/audit?page_size=100"):
        text = json.dumps(tenant.admin.call("GET", path), ensure_ascii=False)
        assert tenant.key not in text, path
        assert tenant.accounts[0].secret not in text, path
    account = tenant.admin.get(f"/admin/accounts/{tenant.accounts[0].row['id']}")
    assert account["credentials"]["api_key"] == "•••"


def test_the_worker_listens_on_loopback_only(stack: Stack, worker: int) -> None:
    import pathlib

    ports = {f"{stack.port(name):04X}" for name in ("WORKER_1", "WORKER_2", "CONTROL_ADMIN", "CONTROL_INTERNAL",
                                                     "CONTROL_OPS", "SIMULATOR", "POSTGRES", "REDIS")}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].rsplit(":", 1)
            if fields[3] == "0A" and port in ports:
                assert address == "0100007F", line


def test_an_account_shows_its_calls_under_way(tenant: Tenant) -> None:
    [account] = tenant.accounts
    path = f"/admin/accounts/{account.row['id']}"
    assert tenant.admin.get(path)["in_flight"] == 0
    body = json.dumps(tenant.body("e20-d100", stream=True))
    with httpx.stream(
        "POST", tenant.gateway() + "/v1/messages", content=body, headers=tenant.json_headers, timeout=30, trust_env=False
    ) as answer:
        assert answer.status_code == 200
        assert tenant.admin.get(path)["in_flight"] == 1
        page = tenant.admin.get(f"/admin/accounts?q={account.row['name']}")
        assert [item["in_flight"] for item in page["items"] if item["id"] == account.row["id"]] == [1]
        answer.read()
    until("it has ended", lambda: tenant.admin.get(path)["in_flight"] == 0)
