"""A further control plane beside the stack's own, and a transaction that holds a row."""

import os
import pathlib
import signal
import socket
import subprocess

import httpx

from .admin import Admin
from .stack import Stack
from .waiting import until


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class ControlPlane:
    """Another process of the same program, with the same settings on other ports."""

    def __init__(self, stack: Stack, **settings: str) -> None:
        process = pathlib.Path(f"/proc/{stack.control_pid}")
        pairs = process.joinpath("environ").read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if pair)
        ports = {name: free_port() for name in ("ADMIN", "INTERNAL", "OPS")}
        environment |= {f"TOLLGATE_{name}_LISTEN": f"127.0.0.1:{port}" for name, port in ports.items()}
        environment |= settings
        self.url = f"http://127.0.0.1:{ports['ADMIN']}"
        self.ops_url = f"http://127.0.0.1:{ports['OPS']}"
        self.log = stack.folder / "log" / f"control-plane-{ports['ADMIN']}.log"
        self._process = subprocess.Popen(
            [os.readlink(process / "exe")], env=environment, stdin=subprocess.DEVNULL, stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        until("the further control plane is ready", self._is_ready, seconds=30)
        self.admin = Admin(self.url, stack.read("TOLLGATE_ADMIN_EMAIL"), stack.read("TOLLGATE_ADMIN_PASSWORD"))

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text(errors="replace")
        try:
            return httpx.get(self.ops_url + "/health/ready", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "ControlPlane":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Database:
    """Statements by psql."""

    def __init__(self, stack: Stack) -> None:
        self.command = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", stack.read("TOLLGATE_DATABASE_URL")]

    def ask(self, sql: str) -> str:
        done = subprocess.run([*self.command, "-c", sql], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def hold(self, table: str, id: int) -> "HeldRow":
        return HeldRow(self, table, id)


class HeldRow:
    """A row that nobody else can write as long as this lasts."""

    def __init__(self, database: Database, table: str, id: int) -> None:
        self.database, self.table, self.id = database, table, id

    def __enter__(self) -> "HeldRow":
        self._process = subprocess.Popen(
            self.database.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._process.stdin.write(f"begin;\nselect 'held' from {self.table} where id = {self.id} for update;\n")
        self._process.stdin.flush()
        assert "held" in self._process.stdout.readline()
        return self

    def is_wanted(self) -> bool:
        """Whether somebody waits for a row."""
        return self.database.ask("select count(*) from pg_locks where not granted") != "0"

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(10)
