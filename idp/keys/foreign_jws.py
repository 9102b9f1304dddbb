"""Tokens that others sign: client assertions and DPoP proofs."""

from collections.abc import Collection, Sequence
from typing import Any

from idp.keys.compact_jws import TokenError, take_apart
from idp.keys.foreign_key import ForeignKey, ForeignKeyError, read_jwk

# RFC 7515 §4.1: what a header may hold; crit, b64, zip, jku, x5u and x5c are refused unread.
_KNOWN_MEMBERS = frozenset({"alg", "kid", "typ", "jwk"})


# Any: a claim is whatever JSON can hold; the caller checks each.
def verify_signed_by(
    unverified_token: str, keys: Sequence[ForeignKey], *, algorithms: Collection[str]
) -> dict[str, Any]:
    """Answer the claims of a token that one of the keys signed. Raises TokenError.

    A `kid` names exactly one key; without one, every fitting key is tried.
    """
    jws = take_apart(unverified_token)
    if not jws.header.keys() <= _KNOWN_MEMBERS or "jwk" in jws.header:
        raise TokenError("header has a member that is not understood")
    algorithm, kid = jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenError("alg is not allowed")
    fitting = [key for key in keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]
    if not fitting:
        raise UnknownKeyError("no key of that kid and alg")
    if not any(key.verifies(jws.signing_input, jws.signature, algorithm=algorithm) for key in fitting):
        raise TokenError("signature is wrong")
    return jws.unverified_claims


# Any: as above.
def verify_by_own_key(
    unverified_token: str, *, typ: str, algorithms: Collection[str]
) -> tuple[dict[str, Any], ForeignKey]:
    """Answer the claims of a token that carries its own public key, and that key (RFC 9449 §4.2).

    Raises TokenError. It proves possession of the key, and nothing of who holds it.
    """
    jws = take_apart(unverified_token)
    if not jws.header.keys() <= _KNOWN_MEMBERS or jws.header.get("typ") != typ:
        raise TokenError("typ is wrong, or the header has a member that is not understood")
    algorithm, jwk = jws.header.get("alg"), jws.header.get("jwk")
    if not isinstance(algorithm, str) or algorithm not in algorithms or not isinstance(jwk, dict):
        raise TokenError("alg is not allowed, or jwk is missing")
    try:
        key = read_jwk(jwk)
    except ForeignKeyError as fault:
        raise TokenError(f"jwk: {fault}") from fault
    if not key.verifies(jws.signing_input, jws.signature, algorithm=algorithm):
        raise TokenError("signature is wrong")
    return jws.unverified_claims, key


class UnknownKeyError(TokenError):
    """The token names a key that is not among those known; they may have changed meanwhile."""
