"""A bare HTTP/1.1 caller on a socket: sends exactly the bytes given, and shows exactly what came back."""

import socket
from dataclasses import dataclass, field

from .stack import address_of


class Closed(Exception):
    """The peer closed, or reset, the connection."""


@dataclass
class Head:
    status: int
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Answer:
    head: Head
    body: bytes = field(default=b"", repr=False)

    @property
    def status(self) -> int:
        return self.head.status


class RawConnection:
    """One connection; nothing is sent that the test did not write."""

    def __init__(self, url: str, timeout: float = 20, receive_buffer: int | None = None) -> None:
        """With `receive_buffer` the kernel holds about twice so many bytes for a test that does not read, and never more."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if receive_buffer:
            # Before the connection is made: after that the window's scale is agreed.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address_of(url))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def abort(self) -> None:
        """Closes with a reset, as a crashed caller's kernel does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            raise Closed("reset") from None
        if not data:
            raise Closed("closed")
        return data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.buffer += self.receive()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def read_exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.buffer += self.receive()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def read_head(self) -> Head:
        """The next head that is not an interim one (1xx)."""
        while True:
            lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            pairs = (line.split(":", 1) for line in lines[1:])
            if status >= 200:
                return Head(status, [(name, value.strip()) for name, value in pairs])

    def chunks(self):
        """The data of each chunk of a chunked body, to its end."""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n"):
                    pass
                return
            yield self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"

    def read_body(self, head: Head) -> bytes:
        if head.status in (204, 304):
            return b""
        if (head.get("transfer-encoding") or "").lower() == "chunked":
            return b"".join(self.chunks())
        length = head.get("content-length")
        if length is not None:
            return self.read_exactly(int(length))
        body = self.buffer
        try:
            while True:
                body += self.receive()
        except Closed:
            return body

    def read_answer(self) -> Answer:
        head = self.read_head()
        return Answer(head, self.read_body(head))

    def is_closed_by_peer(self, seconds: float) -> bool:
        """Whether the peer ends the connection within the time; what it still sends is thrown away."""
        self.socket.settimeout(seconds)
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except TimeoutError:
            return False


def request(
    method: str, path: str, headers: dict[str, str] | list[tuple[str, str]], body: bytes | None = None
) -> bytes:
    """A request's bytes, with `host` and `content-length` where they are missing."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    if "host" not in names:
        pairs.insert(0, ("Host", "gateway.test"))
    if body is not None and "content-length" not in names and "transfer-encoding" not in names:
        pairs.append(("Content-Length", str(len(body))))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in pairs) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def exchange(url: str, data: bytes, timeout: float = 20) -> Answer:
    """Sends the bytes on a connection of their own and reads one answer."""
    with RawConnection(url, timeout) as connection:
        connection.send(data)
        return connection.read_answer()
