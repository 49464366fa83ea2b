"""The simulator's control API: what it received, and which faults it shall produce."""

import base64
import datetime
from dataclasses import dataclass

import httpx


@dataclass
class Call:
    """What the simulator recorded of one request, and of what it answered."""

    id: int
    method: str
    path: str
    headers: list[tuple[str, str]]
    # Its first MiB.
    body: bytes
    body_bytes: int
    # The same for the same whole body.
    body_digest: str
    # http/1.1 or h2
    protocol: str
    is_tls: bool
    model: str | None
    status: int | None
    fault: str | None
    # How the answer ended: open, complete, client_gone, cut, cut_clean, error_event, empty.
    end: str
    # Tokens that were reported in what left, under the names of usage rows.
    usage: dict[str, int]
    # Seconds since 1970.
    started: float
    ended: float

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


def read_call(record: dict) -> Call:
    started = datetime.datetime.fromisoformat(record["time"]).timestamp()
    body = base64.b64decode(record["body_base64"]) if "body_base64" in record else (record.get("body") or "").encode()
    return Call(
        id=record["id"],
        method=record["method"],
        path=record["path"],
        headers=[(name, value) for name, value in record["headers"]],
        body=body,
        body_bytes=record["body_bytes"],
        body_digest=record["body_digest"],
        protocol=record["protocol"],
        is_tls=record["tls"],
        model=record["model"],
        status=record["status"],
        fault=record["fault"],
        end=record["end"],
        usage=record["usage"],
        started=started,
        ended=started + record["duration_us"] / 1e6,
    )


class Simulator:
    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url + "/__sim/", timeout=30, trust_env=False)

    def _send(self, method: str, path: str, body: object = None, **query: object) -> dict:
        answer = self.client.request(method, path, json=body, params=query)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def calls(self, credential: str, since: int = 0) -> list[Call]:
        """The requests that came with this credential after the one with that id, oldest first."""
        found: list[Call] = []
        while True:
            page = self._send("GET", "requests", since=since, limit=1000, credential=credential)
            found += [read_call(record) for record in page["requests"]]
            if not page["requests"]:
                return found
            since = page["last"]

    def arm(self, words: str, credential: str, count: int = 1, model: str | None = None) -> None:
        """Makes the next calls with this credential fail as the words say."""
        self._send("POST", "faults", {"words": words, "credential": credential, "count": count, "model": model})

    def stats(self, credential: str) -> dict:
        """Sums over all calls with this credential."""
        return self._send("GET", "stats")["by_credential"].get(credential, {})
