"""Fixtures: the stack, its admin API, the simulator, and tenants to test with."""

import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from harness.admin import Admin
from harness.compatibility import Table
from harness.money import Rates
from harness.simulator import Simulator
from harness.stack import Stack
from harness.tenancy import Tenant, await_configuration, create_account, unique


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility", metavar="PAGE", help="write the table of test_conformance.py to this page")


class CompatibilityPage:
    """Gathers the cells of every worker and writes the page when all are over."""

    def __init__(self, path: str) -> None:
        self.path = pathlib.Path(path)
        self.table = Table()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.table.add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from test_conformance import CASES

        missing = self.table.write(self.path, list(CASES))
        if missing and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--compatibility")
    # Under xdist only the process that hears of every test writes.
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(CompatibilityPage(path))


@pytest.fixture(scope="session")
def stack() -> Stack:
    return Stack()


@pytest.fixture(scope="session")
def admin(stack: Stack) -> Admin:
    return Admin(stack.admin_url, stack.read("TOLLGATE_ADMIN_EMAIL"), stack.read("TOLLGATE_ADMIN_PASSWORD"))


@pytest.fixture(scope="session")
def simulator(stack: Stack) -> Simulator:
    return Simulator(stack.simulator_url)


@contextmanager
def tenants(stack: Stack, admin: Admin, simulator: Simulator) -> Iterator[Callable[..., Tenant]]:
    made: list[Tenant] = []
    prices: list[dict] = []

    def make(
        accounts: list[str | dict] | None = None,
        group: dict | None = None,
        user: dict | None = None,
        key: dict | None = None,
        balance: str = "100",
        family: str = "claude-",
        rates: Rates = Rates(),
    ) -> Tenant:
        tag = unique("t")
        model = f"{family}{tag}"
        prices.append(admin.create("prices", model=model, match="prefix", **rates.fields()))
        group_row = admin.create("groups", **{"name": tag, "platform": "anthropic", **(group or {})})
        made_accounts = [
            create_account(admin, simulator, tag, [group_row["id"]], **({"words": wish} if isinstance(wish, str) else wish))
            for wish in ([""] if accounts is None else accounts)
        ]
        user_row = admin.create(
            "users", **{"email": f"{tag}@tollgate.test", "password": unique("password-"), "role": "user", **(user or {})}
        )
        if balance != "0":
            admin.call("POST", f"/admin/users/{user_row['id']}/balance", {"amount": balance, "note": "test"})
        key_row = admin.create(
            "keys", **{"name": tag, "user_id": user_row["id"], "group_id": group_row["id"], **(key or {})}
        )
        tenant = Tenant(
            stack, admin, simulator, tag, group_row, user_row, key_row, key_row["key"], made_accounts, model, rates
        )
        made.append(tenant)
        await_configuration(stack, admin)
        return tenant

    try:
        yield make
    finally:
        delete(admin, made, prices)


def delete(admin: Admin, made: list[Tenant], prices: list[dict]) -> None:
    for tenant in made:
        for account in tenant.accounts:
            admin.send("DELETE", f"/admin/accounts/{account.row['id']}")
        admin.send("DELETE", f"/admin/keys/{tenant.key_row['id']}")
        admin.send("DELETE", f"/admin/groups/{tenant.group['id']}")
        admin.send("DELETE", f"/admin/users/{tenant.user['id']}")
    for price in prices:
        admin.send("DELETE", f"/admin/prices/{price['id']}")


@pytest.fixture
def make_tenant(stack: Stack, admin: Admin, simulator: Simulator) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants, and deletes what it made when the test is over.

    `accounts`: for each account the words its key carries for the simulator, or its fields.
    """
    with tenants(stack, admin, simulator) as make:
        yield make


@pytest.fixture(scope="module")
def make_module_tenant(stack: Stack, admin: Admin, simulator: Simulator) -> Iterator[Callable[..., Tenant]]:
    """As `make_tenant`, for the tests of a whole file."""
    with tenants(stack, admin, simulator) as make:
        yield make


@pytest.fixture(scope="module")
def module_tenant(stack: Stack, admin: Admin, simulator: Simulator) -> Iterator[Tenant]:
    with tenants(stack, admin, simulator) as make:
        yield make()


@pytest.fixture
def shared_tenant(module_tenant: Tenant) -> Tenant:
    """One tenant for the tests of a file that change nothing of it and count no rows: much faster than its own."""
    module_tenant.forget_calls()
    return module_tenant


@pytest.fixture
def tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    return make_tenant()


@pytest.fixture(params=[0, 1], ids=["worker-1", "worker-2"])
def worker(request: pytest.FixtureRequest) -> int:
    return request.param
