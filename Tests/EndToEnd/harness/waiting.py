"""Waiting for what must become true, with a deadline; never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
import redis

# What a server that is about to come up or go away may answer a probe with.
UNREACHED = (httpx.TransportError, redis.ConnectionError, redis.TimeoutError)

Value = TypeVar("Value")


def until(what: str, probe: Callable[[], Value | None], seconds: float = 15) -> Value:
    """Repeats the probe until its answer is truthy, and returns that.

    An assertion that fails inside the probe counts as *not yet*, and so does a server that is not reached; the last one is
    shown when the time is over.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            found = probe()
            if found:
                return found
            last = found
        except AssertionError as failure:
            last = failure
        except UNREACHED as failure:
            last = repr(failure)
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {last}")
        time.sleep(0.02)
