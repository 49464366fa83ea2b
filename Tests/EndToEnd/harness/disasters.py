"""What can happen to a stack: parts die without warning, Redis loses what it has.

Every function does one disaster and returns when the part has been started again; it need not be ready by then. Parts
are found by their pid files and die by SIGKILL.
"""

import asyncio
import collections
import os
import pathlib
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import redis

from .stack import Stack
from .waiting import until


class Disasters:
    def __init__(self, stack: Stack, chance: Random) -> None:
        self.stack = stack
        self.chance = chance
        # (kind, seconds on the monotonic clock)
        self.kills: list[tuple[str, float]] = []
        # From when until when Redis was away and may have forgotten what it was told before.
        self.forgetful_gaps: list[tuple[float, float]] = []
        # The log that was cut last, until Redis has another one.
        self._cut: pathlib.Path | None = None
        self._environments: dict[str, dict[str, str]] = {}
        self._children: list[int] = []
        self._sizes: collections.deque[tuple[float, pathlib.Path, int]] = collections.deque(maxlen=100)
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch_log, daemon=True)

    def __enter__(self) -> "Disasters":
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watching.set()
        self._watcher.join()

    def kill(self, part: str) -> None:
        pid = self.stack.pid(part)
        if part not in self._environments:
            text = pathlib.Path(f"/proc/{pid}/environ").read_text()
            self._environments[part] = dict(line.split("=", 1) for line in text.split("\0") if line)
        self.end(pid)

    def end(self, pid: int) -> None:
        """Kills a process, and waits until it is gone."""
        os.kill(pid, signal.SIGKILL)
        self._collect(pid)
        until(f"process {pid} is gone", lambda: not os.path.exists(f"/proc/{pid}"), seconds=30)

    def start(self, part: str) -> None:
        """Starts what was killed as it was, without waiting until it is ready: what that takes may be away itself."""
        program = "data-plane" if part.startswith("worker") else part
        self._spawn(part, [str(self.stack.folder / "bin" / program)], self._environments[part])

    def _spawn(self, part: str, command: list[str], environment: dict[str, str] | None = None) -> int:
        log = str(self.stack.folder / "log" / f"{part}.log")
        # It outlives this process.
        pid = os.posix_spawnp(
            command[0], command, os.environ if environment is None else environment, setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        self._children.append(pid)
        (self.stack.folder / "run" / f"{part}.pid").write_text(f"{pid}\n")
        return pid

    def _collect(self, pid: int) -> None:
        """Takes note of an end, if the process is one of ours: it would stay listed."""
        if pid in self._children:
            os.waitpid(pid, 0)
            self._children.remove(pid)

    def note(self, kind: str) -> None:
        self.kills.append((kind, time.monotonic()))

    def pause(self, longest: float) -> None:
        time.sleep(self.chance.uniform(0, longest))

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.stack.read("TOLLGATE_REDIS_URL"), socket_timeout=10)

    # Parts that die and come back

    def worker(self) -> None:
        part = self.kill_worker()
        self.pause(3)
        self.start(part)

    def kill_worker(self) -> str:
        self.note("worker")
        part = f"worker-{self.chance.randint(1, 2)}"
        self.kill(part)
        return part

    def control_plane(self) -> None:
        self.kill_control_plane()
        self.pause(4)
        self.start("control-plane")

    def kill_control_plane(self) -> None:
        self.note("control-plane")
        self.kill("control-plane")

    def redis(self) -> None:
        with self.redis_away():
            self.pause(5)

    def end_redis(self) -> float:
        """Kills Redis, and says when. One whose log was cut dies again only when it has written that anew: what would
        become of half a step is put right later, but noted as drift."""
        if self._cut is not None:
            until("Redis has written its log anew", self._has_new_log, seconds=60)
            self._cut = None
        began = time.monotonic()
        self.end(self.stack.pid("redis"))
        return began

    def _has_new_log(self) -> bool:
        return self._log() != self._cut and not self.client().info("persistence")["aof_rewrite_in_progress"]

    @contextmanager
    def redis_away(self) -> Iterator[None]:
        """Redis killed; it is there again afterwards, with what it had written."""
        self.note("redis")
        self.end_redis()
        yield
        self.stack.local("start", "redis")

    def postgres(self) -> None:
        self.kill_postgres()
        self.pause(5)
        self.stack.local("start", "postgres")

    def kill_postgres(self) -> None:
        """All of its processes at once, as a machine dies."""
        self.note("postgres")
        home = pathlib.Path((self.stack.folder / "postgres-home").read_text().strip())
        pid = int((home / "data" / "postmaster.pid").read_text().split()[0])
        processes = [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # A server refuses to start while one of them is still listed.
        until("Postgres is gone", lambda: not any(os.path.exists(f"/proc/{one}") for one in processes), seconds=30)

    # Several at once

    def redis_and_control_plane(self) -> None:
        """Nobody is there to take a record: the journals hold them."""
        with self.redis_away():
            self.kill_control_plane()
            self.pause(5)
            is_first = self.chance.random() < 0.5
            if is_first:
                self.start("control-plane")
                self.pause(3)
        if not is_first:
            self.start("control-plane")

    def everything_that_keeps_records(self) -> None:
        """Redis and the control plane, then a worker whose journal has what ended meanwhile."""
        with self.redis_away():
            self.kill_control_plane()
            time.sleep(2)
            self.pause(2)
            part = self.kill_worker()
            self.pause(2)
            self.start(part)
            self.pause(2)
        self.start("control-plane")

    def control_plane_and_postgres(self) -> None:
        self.kill_control_plane()
        self.kill_postgres()
        self.pause(4)
        self.stack.local("start", "postgres")
        self.start("control-plane")

    def worker_and_control_plane(self) -> None:
        part = self.kill_worker()
        self.kill_control_plane()
        self.pause(3)
        self.start("control-plane")
        self.start(part)

    # Redis forgets

    def flush(self) -> None:
        self.note("flush")
        self.client().flushall()

    def flush_without_control_plane(self) -> None:
        self.kill_control_plane()
        self.pause(2)
        self.flush()
        self.pause(3)
        self.start("control-plane")

    def cut_log(self) -> None:
        """Redis dies and its log lacks up to the last second, as after a loss of power."""
        self.note("cut log")
        began = self.end_redis()
        log = self._log()
        end = log.stat().st_size
        older = [size for at, path, size in list(self._sizes) if path == log and began - at <= 1]
        os.truncate(log, self.chance.randint(min(older, default=end), end))
        self._cut = log
        self.pause(1)
        self.stack.local("start", "redis")
        self.forgetful_gaps.append((began, time.monotonic()))

    def _log(self) -> pathlib.Path:
        folder = self.stack.folder / "redis" / "appendonlydir"
        lines = (folder / "appendonly.aof.manifest").read_text().splitlines()
        return folder / [line.split()[1] for line in lines if line.endswith("type i")][-1]

    def _watch_log(self) -> None:
        while not self._watching.wait(0.05):
            try:
                log = self._log()
                self._sizes.append((time.monotonic(), log, log.stat().st_size))
            except (OSError, IndexError):
                pass

    def fail_over(self) -> None:
        """A replica takes the dead Redis' place, address and all. It lacks what was written since its link broke."""
        home, spare = self.stack.folder / "redis", self.stack.folder / "redis-replica"
        shutil.rmtree(spare, ignore_errors=True)
        spare.mkdir()
        port = self.stack.port("REDIS")
        with Relay(port) as relay:
            process, own_port = self._start_replica(spare, relay.port)
            master = self.client()
            password = master.connection_pool.connection_kwargs["password"]
            replica = redis.Redis(port=own_port, password=password, socket_timeout=10)
            until(
                "the replica has all",
                lambda: replica.info("replication")["master_link_status"] == "up",
                seconds=60,
            )
            is_careful = self.chance.random() < 0.5
            if is_careful:
                # As a replicated Redis should run: without a replica it soon refuses to write.
                master.config_set("min-replicas-max-lag", 1)
                master.config_set("min-replicas-to-write", 1)
            self.pause(3)
            relay.cut()
            time.sleep(self.chance.uniform(0.1, 3 if is_careful else 1))
            self.note("failover")
            began = time.monotonic()
            self.end(self.stack.pid("redis"))
            self._cut = None
            replica.replicaof("NO", "ONE")
            # deploy/local knows its Redis by folder and pid.
            shutil.rmtree(home)
            spare.rename(home)
            (self.stack.folder / "run" / "redis.pid").write_text(f"{process}\n")
            replica.config_set("port", port)
            until("the replica serves", lambda: self.client().ping(), seconds=10)
            self.forgetful_gaps.append((began, time.monotonic()))

    def _start_replica(self, folder: pathlib.Path, master: int) -> tuple[int, int]:
        own = ("port ", "unixsocket ", "unixsocketperm ", "dir ")
        lines = [
            line
            for line in (self.stack.folder / "run" / "redis.conf").read_text().splitlines()
            if not line.startswith(own)
        ]
        password = self.client().connection_pool.connection_kwargs["password"]
        port = free_port()
        lines += [f"port {port}", f'dir "{folder}"', f"replicaof 127.0.0.1 {master}", f"masterauth {password}"]
        lines += ["repl-diskless-sync-delay 0"]
        config = self.stack.folder / "run" / "redis-replica.conf"
        config.write_text("\n".join(lines) + "\n")
        return self._spawn("redis-replica", ["redis-server", str(config)]), port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Relay:
    """Passes bytes on to a port until it is cut: what arrives then is lost."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._is_cut = False
        self._writers: list[asyncio.StreamWriter] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> None:
        self._is_cut = True

    def _run(self) -> None:
        async def start() -> None:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.create_task(start())
        self._loop.run_forever()
        for writer in self._writers:
            writer.transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, beyond = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers += [writer, beyond]
        await asyncio.gather(self._pass(reader, beyond), self._pass(there, writer), return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            if self._is_cut:
                continue
            sink.write(data)
            await sink.drain()
