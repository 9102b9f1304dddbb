"""Client assertions (RFC 7523 §3, as tightened by OAuth 2.1 and FAPI 2.0)."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from idp.keys.compact_jws import TokenError, take_apart, whole_seconds

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
MAX_LIFETIME = timedelta(minutes=15)
# Clocks differ: a minute for when it was made, less for when it begins.
ISSUED_TOLERANCE = timedelta(seconds=60)
NOT_BEFORE_TOLERANCE = timedelta(seconds=30)
MAX_JTI_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion whose words are right; whether its `jti` is fresh, the database knows."""

    jti_sha256: bytes
    remember_until: datetime


def unverified_client_id(assertion: str) -> str:
    """Answer whose assertion it claims to be, to find the keys to check it with. Raises TokenError."""
    subject = take_apart(assertion).unverified_claims.get("sub")
    if not isinstance(subject, str):
        raise TokenError("sub is missing")
    return subject


# Any: a claim is whatever JSON can hold; each is checked here.
def check_claims(claims: dict[str, Any], *, client_id: str, issuer: str, now: datetime) -> Assertion:
    """Check the claims of an assertion whose signature is right. Raises TokenError."""
    # RFC 7523 §3: the client speaks of itself, and to us.
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise TokenError("iss and sub must both be the client_id")
    # One audience, and our issuer alone: an assertion for another server, or for an address, is not for us.
    if claims.get("aud") != issuer:
        raise TokenError("aud must be the issuer, as one string")
    present = now.timestamp()
    expires_at = whole_seconds(claims, "exp")
    if expires_at <= present:
        raise TokenError("expired")
    if expires_at > present + (MAX_LIFETIME + ISSUED_TOLERANCE).total_seconds():
        raise TokenError("exp is too far in the future")
    if "iat" in claims and whole_seconds(claims, "iat") > present + ISSUED_TOLERANCE.total_seconds():
        raise TokenError("iat is in the future")
    if "nbf" in claims and whole_seconds(claims, "nbf") > present + NOT_BEFORE_TOLERANCE.total_seconds():
        raise TokenError("nbf is in the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI_LENGTH:
        raise TokenError("jti is missing or too long")
    return Assertion(
        jti_sha256=hashlib.sha256(f"{client_id} {jti}".encode()).digest(),
        # Remembered for longer than it is good, by whatever node's clock.
        remember_until=datetime.fromtimestamp(expires_at, tz=UTC) + ISSUED_TOLERANCE,
    )
