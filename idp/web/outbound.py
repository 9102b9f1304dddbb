"""Requests that we send to addresses strangers chose: never into our own network, never without an end."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import httpcore
import structlog

from idp.web.client_address import Address, Network, parse_networks

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.outbound")

TIMEOUT_SECONDS = 2.5
MAX_ANSWER_BYTES = 64 * 1024
_TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_SECONDS)
_LONGEST_REASON = 200

# RFC 4291 §2.4: what is given out so far of the space for the whole world.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1: the last 32 bits are an IPv4 address.
# Global by the letter of Python's registry, and yet nobody's public server.
_NOBODYS = parse_networks(
    (
        "192.0.0.0/24",  # RFC 6890 §2.1: protocol assignments; a cloud's metadata service lives in it
        "192.88.99.0/24",  # RFC 7526 §4: relays of old
        "168.63.129.16/32",  # a cloud's platform service, reachable from its machines alone
        "3fff::/20",  # RFC 9637: documentation
    )
)

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Answers every address of a host."""


class OutboundError(Exception):
    """The other side could not be asked. One text for every reason: nobody maps our network by it."""

    def __init__(self) -> None:
        super().__init__("the address could not be reached")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for a host's addresses. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outbound:
    """Sends one request to one public address; a redirect is an answer like any other, and is not followed.

    `inner_networks` are networks of our own that may be reached all the same (an operator's choice).
    """

    def __init__(self, *, inner_networks: Sequence[str] = (), resolver: Resolver = resolve) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=50,
            max_keepalive_connections=0,
            network_backend=_PinnedBackend(parse_networks(inner_networks), resolver=resolver),
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
            # For the operator alone.
            reason = f"{type(fault).__name__}: {fault}"[:_LONGEST_REASON]
            log.warning("outbound_failed", host=_host(url), reason=reason)
            raise OutboundError from fault

    async def _exchange(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        if not url.isascii():
            raise ValueError("the address is not ASCII")
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
                    raise ValueError("the answer is too long")
            named = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            return Answer(status=response.status, headers=named, body=bytes(received))


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, judges every address, and connects to the very ones that it judged."""

    def __init__(self, inner_networks: tuple[Network, ...], *, resolver: Resolver) -> None:
        self._inner_networks = inner_networks
        self._resolve = resolver
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's own
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        # One inner address among public ones is an attack or a mistake; either way nothing is sent.
        if not addresses or not all(self._may_reach(address) for address in addresses):
            raise httpcore.ConnectError("address not allowed")
        *others, last = addresses
        for address in others:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except httpcore.ConnectError:
                continue  # A server may listen on one of its host's addresses alone.
        return await self._backend.connect_tcp(
            last, port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _may_reach(self, text: str) -> bool:
        address = _unclothed(ipaddress.ip_address(text.partition("%")[0]))
        return any(address in network for network in self._inner_networks) or is_public(address)


def is_public(address: Address) -> bool:
    """Whether anyone in the world may have a server there."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address in network for network in _NOBODYS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _unclothed(address: Address) -> Address:
    """An IPv4 address in IPv6 clothes is judged as what it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _host(url: str) -> str:
    # Without its query, where a client may keep a secret.
    return url.partition("://")[2].partition("/")[0].partition("?")[0][:_LONGEST_REASON]
