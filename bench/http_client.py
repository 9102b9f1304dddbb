"""HTTP/1.1 at as little cost of its own as Python allows: kept alive, one request at a time."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlencode

FORM = "application/x-www-form-urlencoded"


class AnswerError(Exception):
    """An answer that the profile did not expect."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Answer a header's first value, or nothing."""
        return next(iter(self.headers(name)), "")

    def headers(self, name: str) -> list[str]:
        """Answer every value of a header."""
        wanted = name.lower().encode()
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip().decode() for key, _, value in lines if key.lower() == wanted]

    def require(self, *statuses: int) -> "Answer":
        """Answer itself if its status is one of these."""
        if self.status not in statuses:
            raise AnswerError(f"{self.status}: {self.body[:300]!r}")
        return self


class Connection(asyncio.Protocol):
    """One connection to a server on this machine."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._port = 0

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to a loopback port."""
        connection = cls()
        connection._port = port
        await connection._connect()
        return connection

    async def _connect(self) -> None:
        self._buffer.clear()
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, "127.0.0.1", self._port
        )
        self._transport = transport

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._request("GET", path, b"", headers)

    async def post_form(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        return await self._request("POST", path, urlencode(form).encode(), {"Content-Type": FORM} | headers)

    async def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return await self._request("POST", path, body, headers)

    async def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{self._port}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        if self._transport is None or self._transport.is_closing():
            await self._connect()
        if self._transport is None:
            raise AnswerError("not connected")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None:
            return
        head = bytes(self._buffer[:end])
        length = _content_length(head)
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        waiting, self._waiting = self._waiting, None
        waiting.set_result(Answer(int(head[9:12]), head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(AnswerError("the server closed the connection"))

    def close(self) -> None:
        if self._transport:
            self._transport.close()


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"\r\ncontent-length:")
    if start < 0:
        if b"\r\ntransfer-encoding:" in lowered:
            raise AnswerError("chunked answers are not read here")
        return 0
    end = lowered.find(b"\r\n", start + 2)
    return int(lowered[start + 17 : end if end >= 0 else None])
