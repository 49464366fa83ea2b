"""Chooses free loopback ports for one stack and keeps them in STATE/ports.

A port once chosen stays, unless somebody else listens on it by now. Stacks on one machine tell each other which ports
are theirs through one small file, so that two that start at the same moment, or take turns, do not collide.

usage: ports.py STATE "NAMES WHOSE PART IS RUNNING" NAME=DEFAULT…
"""

import fcntl
import os
import pathlib
import socket
import sys


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: an old connection in TIME_WAIT does not make a port taken, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def read_pairs(path: pathlib.Path) -> dict[str, int]:
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {name: int(number) for name, number in pairs}


def taken_by_others(registry, state: pathlib.Path) -> set[int]:
    """The ports of the other stacks that still exist."""
    registry.seek(0)
    folders = {line.strip() for line in registry.read().splitlines() if line.strip()}
    alive = {folder for folder in folders if (pathlib.Path(folder) / "ports").exists()} | {str(state)}
    registry.seek(0)
    registry.truncate()
    registry.write("".join(f"{folder}\n" for folder in sorted(alive)))
    registry.flush()
    return {
        port
        for folder in alive - {str(state)}
        for port in read_pairs(pathlib.Path(folder) / "ports").values()
    }


def open_registry():
    folder = pathlib.Path("/tmp") / f"tollgate-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} belongs to another user")
    registry = open(folder / "stacks", "a+", encoding="utf-8")
    fcntl.flock(registry, fcntl.LOCK_EX)
    return registry


def main() -> None:
    state = pathlib.Path(sys.argv[1])
    running = set(sys.argv[2].split())
    defaults = dict(argument.split("=") for argument in sys.argv[3:])
    with open_registry() as registry:
        others = taken_by_others(registry, state)
        kept = read_pairs(state / "ports")
        chosen: dict[str, int] = {}
        for name, default in defaults.items():
            port = kept.get(name)
            if port is None or (name not in running and not is_free(port)):
                avoid = others | set(kept.values()) | set(chosen.values())
                candidates = range(int(default), 65536, 20)
                found = next((p for p in candidates if p not in avoid and is_free(p)), None)
                if found is None:
                    raise SystemExit(f"no free port for {name}")
                if port is not None:
                    print(f"    port {port} ({name}) is taken by another program: using {found}")
                port = found
            chosen[name] = port
        text = "".join(f"{name}={port}\n" for name, port in chosen.items())
        if not kept == chosen:
            (state / "ports").write_text(text)


main()
