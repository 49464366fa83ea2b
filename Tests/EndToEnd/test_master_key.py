"""A new master key, brought in and the old one taken away on a running stack."""

import base64
import os
import pathlib
from collections.abc import Iterator

import httpx
import pytest

from harness.planes import Database
from harness.stack import Stack
from harness.tenancy import Tenant
from harness.waiting import until

# Ten restarts.
pytestmark = [pytest.mark.disruptive, pytest.mark.timeout(600)]


@pytest.fixture
def keys(stack: Stack) -> Iterator[pathlib.Path]:
    """The file that all parts read their keys from; at the end it has all keys that anything can be sealed with."""
    file = stack.folder / "secrets" / "master-keys"
    before = file.read_text().strip()
    yield file
    now = file.read_text().strip()
    file.write_text(now if before in now else f"{now},{before}\n")
    for part in ("control-plane", "worker-1", "worker-2"):
        stack.local("restart", part)


def metric(stack: Stack, name: str) -> float:
    url = f"http://127.0.0.1:{stack.port('CONTROL_OPS')}/metrics"
    lines = httpx.get(url, timeout=5, trust_env=False).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def serves(tenant: Tenant) -> bool:
    return all(tenant.post(tenant.body("e3"), worker).status_code == 200 for worker in (0, 1))


def test_a_master_key_is_replaced(tenant: Tenant, stack: Stack, keys: pathlib.Path) -> None:
    database = Database(stack)
    old = keys.read_text().strip()
    new = f"k{os.getpid()}:" + base64.b64encode(os.urandom(32)).decode()
    name = new.split(":")[0]

    def sealed_otherwise() -> int:
        return int(database.ask("select count(*) from accounts where deleted_at is null and credentials_sealed <> '' "
                                f"and split_part(credentials_sealed, '.', 2) <> '{name}'"))

    # Delivered to two of three processes: the old one seals, for the third could not read.
    keys.write_text(f"{new},{old}\n")
    for part in ("control-plane", "worker-1"):
        stack.local("restart", part)
    until("the third one is seen to lack it", lambda: metric(stack, "tollgate_nodes_without_master_key") == 1, seconds=30)
    before = sealed_otherwise()
    assert before > 0
    tenant.add_account(priority=90)
    tenant.await_workers()
    assert sealed_otherwise() == before + 1
    until("calls are served", lambda: serves(tenant), seconds=20)
    # All have it: everything comes under it, and calls go on.
    stack.local("restart", "worker-2")
    until("all is sealed with the new one", lambda: sealed_otherwise() == 0 and serves(tenant), seconds=60)
    assert metric(stack, "tollgate_sealed_unreadable") == 0
    # The old one is taken away.
    keys.write_text(f"{new}\n")
    for part in ("control-plane", "worker-1", "worker-2"):
        stack.local("restart", part)
        until("calls are served", lambda: serves(tenant), seconds=20)
    tenant.add_account(priority=91)
    tenant.await_workers()
    assert sealed_otherwise() == 0
    for url in stack.ops_urls:
        text = httpx.get(url + "/metrics", timeout=5, trust_env=False).text
        assert "tollgate_credentials_unreadable 0" in text
