"""deploy/local itself: repeated, after crashes, and what it tells."""

import os
import pathlib
import re
import shlex
import signal
import stat
import subprocess

import pytest

from harness.stack import CHECKOUT, Stack

pytestmark = pytest.mark.disruptive

NAMES = """TOLLGATE_GATEWAY_URL TOLLGATE_GATEWAY_URL_2 TOLLGATE_ADMIN_URL TOLLGATE_ADMIN_EMAIL TOLLGATE_ADMIN_PASSWORD
TOLLGATE_SIMULATOR_URL TOLLGATE_KEY_ANTHROPIC TOLLGATE_KEY_OPENAI TOLLGATE_KEY_GEMINI TOLLGATE_KEY_ANTIGRAVITY
TOLLGATE_KEY_BEDROCK TOLLGATE_DATABASE_URL TOLLGATE_REDIS_URL TOLLGATE_CONTROL_PID TOLLGATE_WORKER_PID
TOLLGATE_WORKER_PID_2""".split()


def up(stack: Stack) -> str:
    os.environ["TOLLGATE_SKIP_BUILD"] = "1"
    try:
        return stack.local("up")
    finally:
        del os.environ["TOLLGATE_SKIP_BUILD"]


def test_stack_env_has_exactly_the_promised_names(stack: Stack) -> None:
    lines = stack.file.read_text().splitlines()
    assert [line.split("=")[0] for line in lines] == NAMES
    assert all(line.split("=", 1)[1] for line in lines)
    # It can be sourced by a shell, and others cannot read it.
    done = subprocess.run(
        ["bash", "-c", f"set -eu; . {shlex.quote(str(stack.file))}; printf %s \"$TOLLGATE_KEY_ANTHROPIC\""],
        capture_output=True, text=True,
    )
    assert done.stdout == stack.read("TOLLGATE_KEY_ANTHROPIC")
    assert stat.S_IMODE(stack.file.stat().st_mode) == 0o600


def test_secrets_are_for_their_owner_only(stack: Stack) -> None:
    for file in (stack.folder / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    for pid in [stack.control_pid, *stack.worker_pids]:
        with open(f"/proc/{pid}/environ") as environment:
            text = environment.read()
        assert stack.read("TOLLGATE_ADMIN_PASSWORD") not in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
@pytest.mark.parametrize("status", [0, 100])
def test_installing_packages_leaves_the_system_as_it_was(tmp_path: pathlib.Path, status: int) -> None:
    """With an apt-get that installs nothing: the pieces of deploy/local as they stand, a package nobody has."""
    system = [pathlib.Path("/usr/sbin/policy-rc.d"), pathlib.Path("/etc/postgresql-common/createcluster.conf")]
    before = [file.read_bytes() if file.exists() else None for file in system]
    (tmp_path / "log").mkdir()
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\ntest -x {system[0]} && echo \"$@\" >>{tmp_path}/calls\nexit {status}\n")
    apt.chmod(0o755)
    script = (
        f"set -euo pipefail; STATE={tmp_path}; for piece in common packages; do source deploy/local.d/$piece.sh; done; "
        "ensure_packages tollgate-no-such-package"
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (done.returncode == 0) == (status == 0), done.stderr
    assert "unbound" not in done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    # Lists that cannot be had anew may do.
    assert len(calls) == 2, calls
    assert [file.read_bytes() if file.exists() else None for file in system] == before


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = stack.file.read_text()
    up(stack)
    assert stack.file.read_text() == before


def test_the_printed_curl_line_works_as_pasted(stack: Stack) -> None:
    printed = up(stack)
    [line] = [line for line in printed.splitlines() if line.startswith("curl ")]
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert '"type":"message"' in done.stdout


@pytest.mark.parametrize("name", ["TOLLGATE_CONTROL_PID", "TOLLGATE_WORKER_PID", "TOLLGATE_WORKER_PID_2"])
def test_up_restarts_what_has_crashed_and_nothing_else(stack: Stack, name: str) -> None:
    before = {key: stack.read(key) for key in NAMES}
    os.kill(int(before[name]), signal.SIGKILL)
    up(stack)
    after = {key: stack.read(key) for key in NAMES}
    assert after[name] != before[name]
    assert {key for key in NAMES if after[key] != before[key]} == {name}


def test_status_tells_each_part(stack: Stack) -> None:
    table = stack.local("status")
    rows = {line.split()[0]: line for line in table.splitlines()[1:]}
    assert list(rows) == ["postgres", "redis", "simulator", "control-plane", "worker-1", "worker-2"]
    assert all(re.search(r"\bready$", line) for line in rows.values()), table
    assert stack.read("TOLLGATE_WORKER_PID") in rows["worker-1"]


def test_down_and_up_keep_the_data(stack: Stack) -> None:
    import httpx

    key = stack.read("TOLLGATE_KEY_ANTHROPIC")
    stack.local("down")
    with pytest.raises(AssertionError):
        stack.local("status")
    up(stack)
    assert stack.read("TOLLGATE_KEY_ANTHROPIC") == key
    for gateway in stack.gateways:
        answer = httpx.get(gateway + "/v1/models", headers={"x-api-key": key}, timeout=15, trust_env=False)
        assert answer.status_code == 200


def test_bad_configuration_is_reported_whole_and_exits_78(stack: Stack) -> None:
    for program, missing in (("data-plane", ["TOLLGATE_REDIS_URL", "TOLLGATE_SNAPSHOT_KEY", "TOLLGATE_INTERNAL_TOKEN"]),
                             ("control-plane", ["TOLLGATE_DATABASE_URL", "TOLLGATE_REDIS_URL", "TOLLGATE_MASTER_KEYS"])):
        done = subprocess.run(
            [str(stack.folder / "bin" / program)], env={"TOLLGATE_LOG_LEVEL": "loud"}, capture_output=True, text=True,
            timeout=20,
        )
        assert done.returncode == 78, done
        for key in (*missing, "TOLLGATE_LOG_LEVEL"):
            assert key in done.stderr, key
