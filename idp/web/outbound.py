"""Requests that we send to addresses strangers chose: never into our own network, never without an end."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import httpcore

from idp.web.client_address import Network, parse_networks

TIMEOUT_SECONDS = 2.5
MAX_ANSWER_BYTES = 64 * 1024
_TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_SECONDS)


class OutboundError(Exception):
    """The other side could not be asked. One text for every reason: nobody maps our network by it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """Sends one request to one public address; a redirect is an answer like any other, and is not followed.

    `inner_networks` are networks of our own that may be reached all the same (an operator's choice).
    """

    def __init__(self, *, inner_networks: Sequence[str] = ()) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=50,
            max_keepalive_connections=0,
            network_backend=_PinnedBackend(parse_networks(inner_networks)),
        )

    async def get(self, url: str, *, accept: str) -> Answer:
        """Fetch a document. Raises OutboundError."""
        return await self._send("GET", url, headers={"Accept": accept}, body=b"")

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Deliver a body. Raises OutboundError."""
        return await self._send("POST", url, headers=headers, body=body)

    async def close(self) -> None:
        """Close what is open."""
        await self._pool.aclose()

    async def _send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._exchange(method, url, headers=headers, body=body)
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            httpcore.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as fault:
            raise OutboundError("the address could not be reached") from fault

    async def _exchange(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        sent = {"User-Agent": "idp", "Connection": "close", **headers}
        async with self._pool.stream(
            method,
            url,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": _TIMEOUTS},
        ) as response:
            received = bytearray()
            async for chunk in response.aiter_stream():
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise OutboundError("the answer is too long")
            named = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            return Answer(status=response.status, headers=named, body=bytes(received))


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, judges every address, and connects to the very one that it judged."""

    def __init__(self, inner_networks: tuple[Network, ...]) -> None:
        self._inner_networks = inner_networks
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's own
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        # One inner address among public ones is an attack or a mistake; either way nothing is sent.
        if not addresses or not all(self._may_reach(address) for address in addresses):
            raise httpcore.ConnectError("address not allowed")
        return await self._backend.connect_tcp(
            addresses[0], port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _may_reach(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            # An IPv4 address in IPv6 clothes is judged as what it is.
            address = address.ipv4_mapped or address.sixtofour or address
        if any(address in network for network in self._inner_networks):
            return True
        return address.is_global and not address.is_multicast
