"""The signed counter that travels as an authorization code (generation 0) and as refresh tokens (1, 2, …).

    version (1) ‖ key id (2) ‖ grant id (16) ‖ generation (4) ‖ grant secret (16) ‖ MAC (16)

The MAC is HMAC-SHA-256 under the server's key over all that stands before it, cut to 128 bits. The grant
secret is random, the same through the whole family, and the database holds only its digest. So neither the
server's key alone nor the database alone, nor the two together, can make a token of a family; a guess is
turned away before the database is asked; and whoever holds one generation lets us derive the next, so a
retry needs no stored secret.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from idp import opaque_token

_VERSION = 1
_LAYOUT = struct.Struct(">B2s16sI16s")
_MAC_LENGTH = 16
_LENGTH = _LAYOUT.size + _MAC_LENGTH
_TEXT_LENGTH = (_LENGTH * 4 + 2) // 3
MAX_GENERATION = 2**31 - 2  # The column is a signed 32-bit integer, and one more must fit.


@dataclass(frozen=True, slots=True)
class GrantTokenKeys:
    """The MAC keys by their ids: the newest seals, every known one opens."""

    newest: bytes
    keys: Mapping[bytes, bytes]

    def __repr__(self) -> str:
        return f"GrantTokenKeys({len(self.keys)})"


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A code or refresh token whose MAC is right: it was once made here. Whether it still counts is open."""

    grant_id: bytes
    generation: int
    secret: bytes

    @property
    def secret_sha256(self) -> bytes:
        """What the grant's row knows the family by."""
        return hashlib.sha256(self.secret).digest()

    def __repr__(self) -> str:
        return f"PresentedToken(generation={self.generation})"


def new_grant_id(*, milliseconds: int) -> bytes:
    """Draw a grant id: time first (48 bits), so that new rows are neighbours on disk, then 80 random bits."""
    return milliseconds.to_bytes(6, "big") + opaque_token.random_bytes(10)


def new_secret() -> bytes:
    """Draw the secret of a new grant."""
    return opaque_token.random_bytes(16)


def seal(keys: GrantTokenKeys, *, grant_id: bytes, generation: int, secret: bytes) -> str:
    """Spell the token of one generation of a grant."""
    body = _LAYOUT.pack(_VERSION, keys.newest, grant_id, generation, secret)
    return opaque_token.encode(body + _mac(keys.keys[keys.newest], body))


def open_token(keys: GrantTokenKeys, presented: str) -> PresentedToken | None:
    """Read a presented token; None when it was not made here, to the last bit."""
    if len(presented) != _TEXT_LENGTH:
        return None
    raw = opaque_token.decode(presented)
    if raw is None or len(raw) != _LENGTH:
        return None
    body, presented_mac = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
    version, key_id, grant_id, generation, secret = _LAYOUT.unpack(body)
    key = keys.keys.get(key_id)
    if version != _VERSION or key is None or not hmac.compare_digest(_mac(key, body), presented_mac):
        return None
    if generation > MAX_GENERATION:
        return None
    return PresentedToken(grant_id=grant_id, generation=generation, secret=secret)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:_MAC_LENGTH]
