"""Server-sent events, as bytes and as values."""

import json
from dataclasses import dataclass


@dataclass
class Event:
    name: str
    data: str

    @property
    def value(self) -> dict:
        return json.loads(self.data)


def parse_events(body: bytes) -> list[Event]:
    """The events of a whole stream; an event without its blank line is left out, as the standard says."""
    found = []
    *blocks, _ = body.replace(b"\r\n", b"\n").split(b"\n\n")
    for block in blocks:
        name, data = "", []
        for line in block.decode().split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            found.append(Event(name, "\n".join(data)))
    return found
