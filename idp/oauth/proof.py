"""Demonstrating proof of possession: DPoP proofs (RFC 9449), checked in full."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

from idp import opaque_token
from idp.errors import InvalidDpopProof, UseDpopNonce
from idp.keys.compact_jws import TokenError, whole_seconds
from idp.keys.foreign_jws import verify_by_own_key

ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256")
TYPE = "dpop+jwt"
# RFC 9449 §11.1: a short life, and clocks that differ a little.
OLDEST = timedelta(seconds=120)
CLOCK_TOLERANCE = timedelta(seconds=60)
NONCE_LIFETIME = timedelta(minutes=5)
MAX_JTI_LENGTH = 255
_TIMESTAMP_LENGTH = 4
_UNRESERVED_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature, target and time are right; whether its `jti` is fresh, the database knows."""

    thumbprint: str
    jti_sha256: bytes
    remember_until: datetime


@dataclass(frozen=True, slots=True)
class ProofNonces:
    """Nonces that every node can make and check from one key, without remembering any (RFC 9449 §8)."""

    key: bytes

    def make(self, *, now: datetime) -> str:
        """Answer a nonce that is good for five minutes."""
        stamp = int(now.timestamp()).to_bytes(_TIMESTAMP_LENGTH, "big")
        return opaque_token.encode(stamp + self._mac(stamp))

    def is_good(self, nonce: object, *, now: datetime) -> bool:
        """Whether we made the nonce, lately."""
        raw = opaque_token.decode(nonce) if isinstance(nonce, str) and len(nonce) < 100 else None  # noqa: PLR2004
        if raw is None or len(raw) <= _TIMESTAMP_LENGTH:
            return False
        stamp, mac = raw[:_TIMESTAMP_LENGTH], raw[_TIMESTAMP_LENGTH:]
        age = now.timestamp() - int.from_bytes(stamp, "big")
        is_ours = hmac.compare_digest(mac, self._mac(stamp))
        return is_ours and -CLOCK_TOLERANCE.total_seconds() <= age <= NONCE_LIFETIME.total_seconds()

    def _mac(self, stamp: bytes) -> bytes:
        return hmac.digest(self.key, stamp, hashlib.sha256)[:16]

    def __repr__(self) -> str:
        return "ProofNonces()"


def read_proof(
    headers: Sequence[str],
    *,
    method: str,
    uri: str,
    access_token: str | None,
    nonces: ProofNonces,
    nonce_is_required: bool,
    now: datetime,
) -> Proof | None:
    """Check a request's proof (RFC 9449 §4.3); None when it carries none.

    `uri` is our own spelling of the address, never one taken from the request. Raises InvalidDpopProof, or
    UseDpopNonce when all but the nonce is right: the client tries again with the one that it is given.
    """
    if not headers:
        return None
    if len(headers) > 1:
        raise InvalidDpopProof("use one DPoP header")
    try:
        claims, key = verify_by_own_key(headers[0], typ=TYPE, algorithms=ALGORITHMS)
        issued_at = whole_seconds(claims, "iat")
        not_before = whole_seconds(claims, "nbf") if "nbf" in claims else issued_at
        expires_at = whole_seconds(claims, "exp") if "exp" in claims else None
    except TokenError as fault:
        raise InvalidDpopProof(
            "the proof is malformed or its signature is wrong", detail=str(fault)
        ) from fault
    if claims.get("htm") != method:
        raise InvalidDpopProof("htm is not the method of this request")
    if not isinstance(claims.get("htu"), str) or normalized_target(claims["htu"]) != normalized_target(uri):
        raise InvalidDpopProof("htu is not the address of this request")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI_LENGTH:
        raise InvalidDpopProof("jti is missing or too long")
    present, tolerance = now.timestamp(), CLOCK_TOLERANCE.total_seconds()
    if not present - OLDEST.total_seconds() - tolerance <= issued_at <= present + tolerance:
        raise InvalidDpopProof("iat is too long ago or in the future")
    if not_before > present + tolerance or (expires_at is not None and expires_at <= present - tolerance):
        raise InvalidDpopProof("the proof is not valid now")
    # RFC 9449 §4.3 item 10: with a token, the proof is for that token.
    if access_token is not None and claims.get("ath") != digest_of(access_token):
        raise InvalidDpopProof("ath is not the digest of the access token")
    if (nonce_is_required or "nonce" in claims) and not nonces.is_good(claims.get("nonce"), now=now):
        raise UseDpopNonce("the proof needs the nonce of the DPoP-Nonce header", nonce=nonces.make(now=now))
    return Proof(
        thumbprint=key.thumbprint,
        # The key is part of it: another client's identical jti is no replay.
        jti_sha256=hashlib.sha256(f"{key.thumbprint} {jti}".encode()).digest(),
        # A proof from the far end of the tolerance stays remembered until it is refused for its age.
        remember_until=datetime.fromtimestamp(issued_at, tz=now.tzinfo) + OLDEST + 2 * CLOCK_TOLERANCE,
    )


def digest_of(access_token: str) -> str:
    """Answer the `ath` of an access token (RFC 9449 §4.2)."""
    return opaque_token.encode(hashlib.sha256(access_token.encode("ascii")).digest())


def normalized_target(uri: str) -> str | None:
    """Spell a target as RFC 9449 §4.3 compares it: no query or fragment, normalized; None if it is none."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc:
        return None
    # RFC 3986 §6.2.2, §6.2.3: case of scheme and host, default port, empty path, needless escapes.
    default = {"https": 443, "http": 80}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port in {None, default} else f"{host}:{port}"
    path = _UNRESERVED_ESCAPE.sub(_unescaped, parts.path) or "/"
    return urlunsplit((parts.scheme, netloc, path, "", ""))


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    is_unreserved = character.isascii() and (character.isalnum() or character in "-._~")
    return character if is_unreserved else match[0].upper()
