"""A lean asynchronous caller for many calls at once: HTTP/1.1 on raw streams, keep-alive, callers that walk away."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from .stack import address_of


class Gone(Exception):
    """The connection ended before the answer did."""


@dataclass
class LoadAnswer:
    status: int
    request_id: str
    body: bytes
    # Whether this caller hung up before the end.
    is_aborted: bool = False


class LoadConnection:
    def __init__(self, url: str) -> None:
        self.host, self.port = address_of(url)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 20)

    def close(self, abort: bool = False) -> None:
        if self.writer is not None:
            if abort:
                self.writer.transport.abort()
            else:
                self.writer.close()
        self.reader = self.writer = None

    async def call(
        self, path: str, headers: dict[str, str], body: dict | bytes | None, abort_after: int | None = None,
        method: str = "POST", timeout: float = 60, on_head: Callable[[int, str], None] | None = None,
        on_part: Callable[[bytes], None] | None = None,
    ) -> LoadAnswer:
        """One call; hangs up once so many bytes of the answer's body have come (0: once the request is out).

        `on_head` hears of the status and the request's id, `on_part` of each piece of the body, also where the answer
        breaks off.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._call(path, headers, body, abort_after, method, on_head, on_part)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close(abort=True)
            raise Gone(str(error)) from None
        except BaseException:
            self.close(abort=True)
            raise

    async def _call(self, path, headers, body, abort_after, method, on_head, on_part) -> LoadAnswer:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}:{self.port}", f"content-length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.connect()
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await self.writer.drain()
        if abort_after == 0:
            self.close(abort=True)
            return LoadAnswer(0, "", b"", is_aborted=True)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if on_head is not None:
            on_head(status, fields.get("x-request-id", ""))
        received = b""
        async for part in self._parts(fields):
            received += part
            if on_part is not None:
                on_part(part)
            if abort_after is not None and len(received) >= abort_after:
                self.close(abort=True)
                return LoadAnswer(status, fields.get("x-request-id", ""), received, is_aborted=True)
        if fields.get("connection", "").lower() == "close":
            self.close()
        return LoadAnswer(status, fields.get("x-request-id", ""), received)

    async def _parts(self, fields: dict[str, str]):
        if fields.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readuntil(b"\r\n")
        else:
            yield await self.reader.readexactly(int(fields.get("content-length", "0")))


async def crowd(count: int, at_once: int, one) -> list:
    """Runs `one(number)` for each number below `count`, so many at once; the results in order."""
    numbers = iter(range(count))
    results: list = [None] * count

    async def runner() -> None:
        for number in numbers:
            results[number] = await one(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, count)):
            group.create_task(runner())
    return results
