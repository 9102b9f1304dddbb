"""Token Status List (draft-ietf-oauth-status-list): which tokens ended before their time."""

import asyncio
import binascii
import zlib
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from idp.resource_server.documents import OpenHttp, read_document
from idp.resource_server.errors import InvalidTokenError, UnavailableError
from idp.resource_server.signed_document import read_signed
from idp.resource_server.signing_keys import SigningKeys

WhenUnknown: TypeAlias = Literal["refuse", "accept"]

TYPE = "statuslist+jwt"
DEFAULT_TTL_SECONDS = 60
RETRY_SECONDS = 1
MAX_LISTS = 500
MAX_LIST_BYTES = 1 << 20
_VALID = 0


@dataclass(frozen=True, slots=True)
class _StatusList:
    bits: int
    content: bytes = field(repr=False)
    fresh_until: float
    good_until: float

    def status_at(self, index: int) -> int | None:
        position = index * self.bits
        if position >= len(self.content) * 8:
            return None
        # Draft §4.1: counted from the least significant bit of each byte.
        return self.content[position // 8] >> position % 8 & (1 << self.bits) - 1


@dataclass(slots=True)
class _Slot:
    """What is known of one list; one reading at a time. `tried_at` is when the last one ended."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: _StatusList | None = None
    tried_at: float = float("-inf")
    is_failing: bool = False


class StatusLists:
    """The provider's status lists, each read again when its `ttl` is over and a token of it is presented.

    A list that cannot be read anew is used until it expires. After that `when_unknown` decides: "refuse"
    (503, the default) keeps a revoked token out at the price of an outage; "accept" lets it live until it
    expires by itself.
    """

    def __init__(
        self,
        *,
        issuer: str,
        keys: SigningKeys,
        when_unknown: WhenUnknown,
        http: OpenHttp,
        clock: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._keys = keys
        self._when_unknown = when_unknown
        self._http = http
        self._clock = clock
        self._slots: OrderedDict[str, _Slot] = OrderedDict()

    # Any: a claim is whatever JSON can hold.
    async def check(self, status: Any) -> None:
        """Raise InvalidTokenError when a token of this `status` claim was ended, or UnavailableError."""
        index, uri = self._read_reference(status)
        slot = self._slot(uri)
        # While the provider is out of reach, one request at a time tries, and the others don't wait for it.
        if self._should_read(slot) and not (slot.is_failing and slot.reading.locked()):
            async with slot.reading:
                if self._should_read(slot):
                    await self._read(slot, uri)
        known = slot.known
        if known is None or self._clock() >= known.good_until:
            if self._when_unknown == "accept":
                return
            raise UnavailableError("the provider's status list could not be read")
        found = known.status_at(index)
        if found is None:
            raise InvalidTokenError("the token's status is not in its list")
        # Draft §7.1: 0x00 is valid, whatever else is not.
        if found != _VALID:
            raise InvalidTokenError("the token was revoked")

    # Any: as above.
    def _read_reference(self, status: Any) -> tuple[int, str]:
        reference = status.get("status_list") if isinstance(status, dict) else None
        index = reference.get("idx") if isinstance(reference, dict) else None
        uri = reference.get("uri") if isinstance(reference, dict) else None
        if type(index) is not int or index < 0 or not isinstance(uri, str):
            raise InvalidTokenError("the token's status cannot be read")
        if not uri.startswith(self._issuer + "/"):
            raise InvalidTokenError("the token's status list is not the provider's")
        return index, uri

    def _slot(self, uri: str) -> _Slot:
        slot = self._slots.setdefault(uri, _Slot())
        self._slots.move_to_end(uri)
        while len(self._slots) > MAX_LISTS:
            self._slots.popitem(last=False)
        return slot

    def _should_read(self, slot: _Slot) -> bool:
        now = self._clock()
        is_fresh = slot.known is not None and now < slot.known.fresh_until
        return not is_fresh and not 0 <= now - slot.tried_at < RETRY_SECONDS

    async def _read(self, slot: _Slot, uri: str) -> None:
        try:
            document = await read_document(uri, accept=f"application/{TYPE}", http=self._http)
            slot.known = await self._open(document.decode("ascii"), uri=uri)
            slot.is_failing = False
        except (UnavailableError, InvalidTokenError, UnicodeDecodeError):
            # What is known stays good until it expires; a forged list changes nothing.
            slot.is_failing = True
        slot.tried_at = self._clock()

    async def _open(self, token: str, *, uri: str) -> _StatusList:
        now = self._clock()
        claims = await read_signed(
            token, types=frozenset({TYPE}), keys=self._keys, leeway_seconds=60, now=now
        )
        # Draft §8.3: the list that was asked for, and no other one of the same provider.
        if claims.get("sub") != uri or "iat" not in claims:
            raise InvalidTokenError("the status list is another one")
        bits, content = _read_list(claims.get("status_list"))
        ttl = claims.get("ttl", DEFAULT_TTL_SECONDS)
        if type(ttl) is not int or ttl < 1:
            raise InvalidTokenError("the status list's ttl is no time")
        # Counted from when it was made, so that no copy on the way makes it younger.
        made_at = min(claims["iat"], now)
        expires_at: float = claims.get("exp", made_at + 2 * ttl)
        return _StatusList(
            bits=bits, content=content, fresh_until=min(made_at + ttl, expires_at), good_until=expires_at
        )


# Any: as above.
def _read_list(member: Any) -> tuple[int, bytes]:
    bits = member.get("bits") if isinstance(member, dict) else None
    text = member.get("lst") if isinstance(member, dict) else None
    if bits not in {1, 2, 4, 8} or not isinstance(text, str):
        raise InvalidTokenError("the status list cannot be read")
    try:
        compressed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        inflater = zlib.decompressobj()
        content = inflater.decompress(compressed, MAX_LIST_BYTES)
    except (binascii.Error, ValueError, zlib.error) as fault:
        raise InvalidTokenError("the status list cannot be read") from fault
    if inflater.unconsumed_tail or not inflater.eof:
        raise InvalidTokenError("the status list is too long or cut short")
    return bits, content
