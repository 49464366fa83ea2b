"""The stack under test: where it is, and the command that runs it."""

import os
import pathlib
import subprocess
from urllib.parse import urlsplit

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]


class Stack:
    """What `deploy/local up` wrote into stack.env."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(os.environ.get("TOLLGATE_LOCAL_DIR", CHECKOUT / ".local"))
        self.file = pathlib.Path(os.environ.get("TOLLGATE_STACK_ENV", self.folder / "stack.env"))

    def read(self, name: str) -> str:
        # Read each time: pids change when a part is restarted.
        for line in self.file.read_text().splitlines():
            key, _, value = line.partition("=")
            if key == name:
                return value
        raise KeyError(f"{name} is not in {self.file}")

    @property
    def gateways(self) -> list[str]:
        return [self.read("TOLLGATE_GATEWAY_URL"), self.read("TOLLGATE_GATEWAY_URL_2")]

    @property
    def admin_url(self) -> str:
        return self.read("TOLLGATE_ADMIN_URL")

    @property
    def simulator_url(self) -> str:
        return self.read("TOLLGATE_SIMULATOR_URL")

    @property
    def worker_pids(self) -> list[int]:
        return [int(self.read("TOLLGATE_WORKER_PID")), int(self.read("TOLLGATE_WORKER_PID_2"))]

    @property
    def control_pid(self) -> int:
        return int(self.read("TOLLGATE_CONTROL_PID"))

    def pid(self, part: str) -> int:
        return int((self.folder / "run" / f"{part}.pid").read_text().split()[0])

    def port(self, name: str) -> int:
        for line in (self.folder / "ports").read_text().splitlines():
            key, _, value = line.partition("=")
            if key == name:
                return int(value)
        raise KeyError(name)

    @property
    def ops_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port(f'WORKER_{number}_OPS')}" for number in (1, 2)]

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def log(self, part: str) -> str:
        return (self.folder / "log" / f"{part}.log").read_text(errors="replace")

    def local(self, *arguments: str) -> str:
        """Runs deploy/local on this stack."""
        environment = {**os.environ, "TOLLGATE_LOCAL_DIR": str(self.folder)}
        done = subprocess.run(
            [str(CHECKOUT / "deploy/local"), *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
        )
        assert done.returncode == 0, f"deploy/local {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80
