"""Token Status List (draft-ietf-oauth-status-list): what ended before its time, for everyone to look up."""

import asyncio
import gzip
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from idp import opaque_token
from idp.clock import Clock
from idp.errors import TemporarilyUnavailable
from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.oauth.tokens.token_status import INDICES_IN_A_LIST, uri_of_list
from idp.settings import Settings
from idp.storage import token_endings
from idp.storage.database import Database, Transaction
from idp.web.cached_document import CachedDocument
from idp.web.cors import allow_everyone

STATUS_LIST_TYP = "statuslist+jwt"
STATUS_LIST_MEDIA_TYPE = f"application/{STATUS_LIST_TYP}"
# A service that reaches us no more goes on with its copy for so long.
GOOD_FOR = timedelta(minutes=5)
# What was committed late, or by a node whose clock differs, is found by looking back this far each time.
LOOK_BACK = timedelta(seconds=90)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,11}")


@dataclass(frozen=True, slots=True)
class SignedList:
    """One list as it is served."""

    token: bytes
    gzipped: bytes
    etag: str
    made_at: datetime


@dataclass(slots=True)
class _Bits:
    """One list's bits, and until when each that is set has to stay."""

    content: bytearray = field(default_factory=lambda: bytearray(INDICES_IN_A_LIST // 8))
    until: dict[int, datetime] = field(default_factory=dict)

    def set(self, index: int, *, until: datetime) -> None:
        self.content[index >> 3] |= 1 << (index & 7)
        # It is found again for a while, and ended no later for that.
        self.until.setdefault(index, until)

    def clear_expired(self, *, now: datetime) -> None:
        for index in [index for index, until in self.until.items() if until <= now]:
            self.content[index >> 3] &= ~(1 << (index & 7))
            del self.until[index]


class StatusLists:
    """Which grants ended while a token of theirs could be alive: learnt in the background, kept in memory.

    Ended is for good, so each refresh asks only for what ended since the last one. A list is signed when it
    is asked for, once for each refresh.
    """

    def __init__(self, *, database: Database, keyring: Keyring, settings: Settings) -> None:
        self._database = database
        self._keyring = keyring
        self._issuer = settings.issuer
        tokens = settings.tokens
        self.ttl = timedelta(seconds=tokens.status_list_ttl_seconds)
        # A retry mints one more access token, within its window of the last rotation.
        self._longest_life = (
            timedelta(seconds=tokens.access_token_lifetime_seconds + tokens.refresh_retry_window_seconds)
            + LOOK_BACK
        )
        self._lists: dict[int, _Bits] = {}
        self._signed: dict[int, SignedList] = {}
        self._numbers = range(0)
        self._as_of: datetime | None = None
        self._refreshing = asyncio.Lock()

    async def refresh(self, *, now: datetime) -> None:
        """Learn what ended since the last time: one round of queries. Raises TemporarilyUnavailable."""
        async with self._refreshing:
            minted_after = now - self._longest_life
            since = minted_after if self._as_of is None else max(self._as_of - LOOK_BACK, minted_after)
            ended, numbers = await self._database.read(
                _read, since=since, until=now, minted_after=minted_after
            )
            for index in ended:
                number, place = divmod(index, INDICES_IN_A_LIST)
                self._lists.setdefault(number, _Bits()).set(place, until=now + self._longest_life)
            for bits in self._lists.values():
                bits.clear_expired(now=now)
            self._lists = {number: bits for number, bits in self._lists.items() if bits.until}
            self._numbers = numbers
            self._signed = {}
            self._as_of = now

    @property
    def uris(self) -> list[str]:
        """The addresses of all lists that a token may name."""
        return [uri_of_list(number, issuer=self._issuer) for number in self._numbers]

    def find(self, number: int) -> SignedList | None:
        """Answer a list, or None when there is none of that number. Raises TemporarilyUnavailable."""
        if self._as_of is None:
            raise TemporarilyUnavailable(detail="status lists: not read yet")
        if number not in self._numbers:
            return None
        if number not in self._signed:
            self._signed[number] = self._sign(number, as_of=self._as_of)
        return self._signed[number]

    def _sign(self, number: int, *, as_of: datetime) -> SignedList:
        bits = self._lists.get(number) or _Bits()
        made_at = int(as_of.timestamp())
        compressed = zlib.compress(bytes(bits.content), 9)
        # Draft §5.1. It says how things stood when they were read, so that is when it was issued.
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": uri_of_list(number, issuer=self._issuer),
            "iat": made_at,
            "exp": made_at + int(max(GOOD_FOR, 2 * self.ttl).total_seconds()),
            "ttl": int(self.ttl.total_seconds()),
            "status_list": {"bits": 1, "lst": opaque_token.encode(compressed)},
        }
        token = signing.sign(self._keyring, claims, typ=STATUS_LIST_TYP, now=as_of).encode()
        return SignedList(
            token=token,
            gzipped=gzip.compress(token, 9, mtime=0),
            etag=hashlib.sha256(token).hexdigest()[:32],
            made_at=as_of,
        )


async def _read(
    tx: Transaction, *, since: datetime, until: datetime, minted_after: datetime
) -> tuple[list[int], range]:
    ended = await token_endings.indices_ended(tx, since=since, until=until, minted_after=minted_after)
    indices = await token_endings.index_range(tx)
    if indices is None:
        return ended, range(2)
    lowest, highest = (index // INDICES_IN_A_LIST for index in indices)
    # The next list too: its first token may be checked before we look again.
    return ended, range(lowest, highest + 2)


class StatusListEndpoint:
    """`GET /status-lists/{number}`: one list, signed, from memory."""

    def __init__(self, *, lists: StatusLists, clock: Clock) -> None:
        self._lists = lists
        self._clock = clock

    async def get(self, request: Request) -> Response:
        number: str = request.path_params["number"]
        found = self._lists.find(int(number)) if _NUMBER.fullmatch(number) else None
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        left = max(timedelta(0), found.made_at + self._lists.ttl - self._clock())
        headers = {
            "Cache-Control": f"public, max-age={int(left.total_seconds())}",
            "Vary": "Accept-Encoding",
        }
        # Draft §8.2: compressed on the way, where the caller can undo it.
        is_gzipped = "gzip" in request.headers.get("accept-encoding", "").lower()
        if is_gzipped:
            headers["Content-Encoding"] = "gzip"
        headers["ETag"] = f'"{found.etag}{"-gzip" if is_gzipped else ""}"'
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            headers.pop("Content-Encoding", None)
            return allow_everyone(Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers))
        body = found.gzipped if is_gzipped else found.token
        return allow_everyone(Response(body, media_type=STATUS_LIST_MEDIA_TYPE, headers=headers))


class StatusListAggregationEndpoint:
    """`GET /status-lists`: the addresses of all lists, for who fetches them beforehand (draft §9)."""

    def __init__(self, lists: StatusLists) -> None:
        self._lists = lists

    async def get(self, request: Request) -> Response:
        return CachedDocument({"status_lists": self._lists.uris}, max_age_seconds=60).response(request)
