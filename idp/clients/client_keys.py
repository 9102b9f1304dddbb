import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from idp.clients.client import Client
from idp.clients.metadata_fields import MAX_KEYS
from idp.errors import InvalidRequest
from idp.keys.foreign_key import ForeignKey, ForeignKeyError, read_jwk_set
from idp.web.outbound import Outbound, OutboundError
from idp.web.parameters import parse_json_object

FRESH_FOR = timedelta(minutes=10)
# However many assertions name a key that is not there: one fetch a minute for each client.
PAUSE_BETWEEN_FETCHES = timedelta(minutes=1)
MAX_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: tuple[ForeignKey, ...]
    fetched_at: datetime


class ClientKeys:
    """The public keys of clients that prove themselves by one: by value, or fetched and kept for a while."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._fetched: OrderedDict[str, _Fetched] = OrderedDict()
        self._fetching = asyncio.Lock()

    async def of(self, client: Client, *, now: datetime) -> tuple[ForeignKey, ...]:
        """Answer the client's keys as last known; none when they cannot be had."""
        if client.metadata.jwks is not None:
            return _read(client.metadata.jwks)
        uri = client.metadata.jwks_uri
        if uri is None:
            return ()
        known = self._fetched.get(uri)
        if known is not None and timedelta(0) <= now - known.fetched_at < FRESH_FOR:
            return known.keys
        return await self._fetch(uri, now=now)

    async def again(self, client: Client, *, now: datetime) -> tuple[ForeignKey, ...]:
        """Answer the keys after an unknown `kid`: fetched anew, unless that was done within the minute."""
        uri = client.metadata.jwks_uri
        return await self._fetch(uri, now=now) if uri is not None else await self.of(client, now=now)

    async def _fetch(self, uri: str, *, now: datetime) -> tuple[ForeignKey, ...]:
        # One at a time: a crowd that waits here finds the answer of the first.
        async with self._fetching:
            known = self._fetched.get(uri)
            if known is not None and timedelta(0) <= now - known.fetched_at < PAUSE_BETWEEN_FETCHES:
                return known.keys
            keys = await self._ask(uri)
            # A failed fetch takes nothing away: good keys stay good.
            kept = keys or (known.keys if known is not None else ())
            self._fetched[uri] = _Fetched(keys=kept, fetched_at=now)
            self._fetched.move_to_end(uri)
            while len(self._fetched) > MAX_ENTRIES:
                self._fetched.popitem(last=False)
            return kept

    async def _ask(self, uri: str) -> tuple[ForeignKey, ...]:
        try:
            answer = await self._outbound.get(uri, accept="application/jwk-set+json, application/json")
            if answer.status != HTTPStatus.OK:
                return ()
            return _read(parse_json_object(answer.body))
        except (OutboundError, InvalidRequest):
            return ()


def _read(jwks: object) -> tuple[ForeignKey, ...]:
    try:
        return read_jwk_set(jwks, most_keys=MAX_KEYS) if isinstance(jwks, dict) else ()
    except ForeignKeyError:
        return ()
