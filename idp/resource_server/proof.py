"""DPoP proofs (RFC 9449 §4.3, §7): a stolen token is of no use without its key."""

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import OKPAlgorithm

from idp.resource_server.errors import InvalidProofError, UnavailableError

ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256")
OLDEST_SECONDS = 60
CLOCK_TOLERANCE_SECONDS = 30
MAX_JTI_LENGTH = 255
LONGEST = 8192
MOST_REMEMBERED = 200_000
# RFC 7638 §3.2, RFC 8037 §2: the members that make the thumbprint, and no other is looked at.
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
# RFC 9864 §2.2: Ed25519 is the newer name of what most clients still call EdDSA.
_FITTING = {
    "ES256": ("EC", "P-256"),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
    "PS256": ("RSA", None),
}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA_BITS = range(2048, 4097)
_VERIFIER = jwt.PyJWS()
# PyJWT does not know the newer name yet.
if "Ed25519" not in jwt.algorithms.get_default_algorithms():
    _VERIFIER.register_algorithm("Ed25519", OKPAlgorithm())
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


class UsedProofs(Protocol):
    """Remembers proofs until they are too old to be accepted. Several processes share one (Redis: SET NX)."""

    async def remember(self, proof_id: bytes, *, until: float, now: float) -> bool:
        """Remember a proof; False when it was there already, for one caller of any number at once."""


class UsedProofsInMemory:
    """UsedProofs of one process."""

    def __init__(self, *, most: int = MOST_REMEMBERED) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._most = most

    async def remember(self, proof_id: bytes, *, until: float, now: float) -> bool:
        """As UsedProofs. Raises UnavailableError rather than forget a proof that could come again."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if proof_id in self._until:
            return False
        if len(self._until) >= self._most:
            raise UnavailableError("too many proofs at once")
        self._until[proof_id] = until
        return True


async def check_proof(
    proofs: Sequence[str],
    *,
    method: str,
    uri: str,
    access_token: str,
    bound_to: str,
    used: UsedProofs,
    now: float,
) -> None:
    """Check that the request carries one proof, made for it, for this token and by the token's key, unused.

    `uri` is the service's own spelling of the address. Raises InvalidProofError or UnavailableError.
    """
    if len(proofs) != 1 or len(proofs[0]) > LONGEST:
        raise InvalidProofError("send one DPoP header with the token")
    claims, thumbprint = _verified(proofs[0])
    _check_validity(claims, now=now)
    if thumbprint != bound_to:
        raise InvalidProofError("the proof is not by the token's key")
    if claims.get("htm") != method:
        raise InvalidProofError("htm is not the method of this request")
    if normalized_target(claims.get("htu")) != normalized_target(uri):
        raise InvalidProofError("htu is not the address of this request")
    digest = hashlib.sha256(access_token.encode()).digest()
    if claims.get("ath") != _base64url(digest):
        raise InvalidProofError("ath is not the digest of the access token")
    jti, issued_at = claims.get("jti"), claims.get("iat")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI_LENGTH:
        raise InvalidProofError("jti is missing or too long")
    if type(issued_at) is not int or not _is_recent(issued_at, now=now):
        raise InvalidProofError("iat is too long ago or in the future")
    # The key is part of it: another client's identical jti is no replay.
    proof_id = hashlib.sha256(f"{thumbprint} {jti}".encode()).digest()
    # Remembered until it would be refused for its age (RFC 9449 §11.1).
    until = issued_at + OLDEST_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS
    if not await used.remember(proof_id, until=until, now=now):
        raise InvalidProofError("the proof was used before; make one for each request")


def normalized_target(uri: object) -> str | None:
    """Spell a target as RFC 9449 §4.3 compares it: no query or fragment, normalized; None if it is none."""
    try:
        parts = urlsplit(uri) if isinstance(uri, str) else None
        port = parts.port if parts else None
    except ValueError:
        return None
    if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc:
        return None
    # RFC 3986 §6.2.2, §6.2.3: case of scheme and host, default port, empty path, needless escapes.
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port in {None, 443 if parts.scheme == "https" else 80}
    path = _ESCAPE.sub(_unescaped, parts.path) or "/"
    return urlunsplit((parts.scheme, host if is_default else f"{host}:{port}", path, "", ""))


# Any: a claim is whatever JSON can hold.
def _check_validity(claims: dict[str, Any], *, now: float) -> None:
    expires_at, not_before = claims.get("exp", now + 1), claims.get("nbf", now)
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or expires_at <= now:
        raise InvalidProofError("the proof has expired")
    if isinstance(not_before, bool) or not isinstance(not_before, int | float):
        raise InvalidProofError("nbf is no time")
    if not_before > now + CLOCK_TOLERANCE_SECONDS:
        raise InvalidProofError("the proof is not valid yet")


def _is_recent(issued_at: int, *, now: float) -> bool:
    oldest = now - OLDEST_SECONDS - CLOCK_TOLERANCE_SECONDS
    return oldest <= issued_at <= now + CLOCK_TOLERANCE_SECONDS


# Any: a claim is whatever JSON can hold.
def _verified(unverified_proof: str) -> tuple[dict[str, Any], str]:
    try:
        header = jwt.get_unverified_header(unverified_proof)
        algorithm, jwk = header.get("alg"), header.get("jwk")
        if header.get("typ") != "dpop+jwt" or not header.keys() <= {"typ", "alg", "jwk", "kid"}:
            raise InvalidProofError("the proof is of another type")
        if algorithm not in ALGORITHMS or not isinstance(jwk, dict):
            raise InvalidProofError(f"sign the proof with one of {' '.join(ALGORITHMS)}, and enclose jwk")
        members = _public_members(jwk, algorithm=algorithm)
        key = jwt.PyJWK(dict(members), algorithm="EdDSA" if algorithm == "Ed25519" else algorithm).key
        if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
            raise InvalidProofError("jwk is too small or too large")
        claims = json.loads(_VERIFIER.decode(unverified_proof, key, algorithms=[algorithm]))
    except (jwt.PyJWTError, ValueError, RecursionError) as fault:
        raise InvalidProofError("the proof is malformed or its signature is wrong") from fault
    if not isinstance(claims, dict):
        raise InvalidProofError("the proof's payload is not an object")
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return claims, _base64url(hashlib.sha256(canonical).digest())


def _public_members(jwk: dict[str, object], *, algorithm: str) -> dict[str, str]:
    kty, curve = _FITTING[algorithm]
    if jwk.get("kty") != kty or jwk.get("crv") != curve or _PRIVATE_MEMBERS & jwk.keys():
        raise InvalidProofError("jwk is not a public key for this algorithm")
    members = {name: value for name in _MEMBERS[kty] if isinstance(value := jwk.get(name), str)}
    if len(members) != len(_MEMBERS[kty]):
        raise InvalidProofError("jwk lacks a member")
    return members


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    is_unreserved = character.isascii() and (character.isalnum() or character in "-._~")
    return character if is_unreserved else match[0].upper()


def _base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
