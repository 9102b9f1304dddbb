"""A relying party with a back-channel logout address: a real server that can be killed and started again."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.clients.registry import ClientRegistry
from idp.notifications.delivery import deliver_due
from idp.oauth.logout.back_channel import LogoutTokenSender
from idp.web.outbound import Outbound
from tests.support.node import ISSUER, Claims, Node, Person, between

LOOPBACK = ("127.0.0.0/8", "::1/128")
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Post:
    """One request that came in."""

    content_type: str
    form: list[tuple[str, str]]

    @property
    def logout_token(self) -> str:
        assert [name for name, _ in self.form] == ["logout_token"]
        return self.form[0][1]


class RelyingParty:
    """Remembers what is posted; answers 200, or what the test says, after a pause."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.statuses: list[int] = []
        self.pause_seconds = 0.0
        self._port = 0
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/backchannel-logout"

    async def start(self) -> None:
        """Listen, after a first time on the same port again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Stop listening: whoever connects is refused."""
        if self._server:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(between(head, "content-length: ", "\r\n"))
            body = (await reader.readexactly(length)).decode()
            self.posts.append(Post(between(head, "content-type: ", "\r\n"), parse_qsl(body)))
            status = self.statuses.pop(0) if self.statuses else 200
            await asyncio.sleep(self.pause_seconds)
            writer.write(b"HTTP/1.1 %d Answer\r\nContent-Length: 0\r\n\r\n" % status)
            await writer.drain()
        writer.close()


async def deliver(node: Node, *, limit: int = 50) -> int:
    """Send what is due now; the node's own job may do the same at the same time."""
    outbound = Outbound(inner_networks=LOOPBACK)
    provider = node.provider
    sender = LogoutTokenSender(
        outbound=outbound,
        registry=ClientRegistry(provider.database),
        keyring=provider.keyring,
        issuer=ISSUER,
    )
    tried = await deliver_due(provider.database, sender=sender, now=node.clock(), limit=limit)
    await outbound.close()
    return tried


async def received(node: Node, relying_party: RelyingParty, count: int) -> list[Claims]:
    """Deliver until so many tokens came in, and answer their claims, verified by another library."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(relying_party.posts) < count:
            await deliver(node)
            await asyncio.sleep(0.02)
    return [await verified(node, post.logout_token) for post in relying_party.posts]


async def verified(node: Node, token: str) -> Claims:
    keys = KeySet.import_key_set((await node.http.get("/jwks")).json())
    return dict(jwt.decode(token, keys, algorithms=["RS256"]).claims)


async def press(node: Node, person: Person, address: str, **fields: str) -> httpx.Response:
    """Press a button of the account page in the person's browser."""
    async with node.browser(person.cookies) as browser:
        page = await browser.get("/account")
        token = between(page.text, 'name="csrf_token" value="', '"')
        answer = await browser.post(address, data=fields | {"csrf_token": token})
        person.cookies |= dict(browser.cookies)
    return answer


async def look(node: Node, person: Person, address: str) -> httpx.Response:
    """Open a page in the person's browser."""
    async with node.browser(person.cookies) as browser:
        return await browser.get(address)
