"""JWTs that the provider signed: access tokens and status lists, told apart by their type."""

from typing import Any

import jwt
from jwt.types import Options

from idp.resource_server.errors import InvalidTokenError
from idp.resource_server.signing_keys import SigningKeys

# RFC 9068 §4: the algorithm is agreed with the provider, never taken from the token.
ALGORITHM = "RS256"
LONGEST = 16_384
# RFC 7515 §4.1: keys that a token brings along, or addresses of some, are nobody's word.
_REFUSED_MEMBERS = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip"})
# The signature alone is PyJWT's to check: the rest differs from one type to the next, or needs our clock.
_SIGNATURE_ALONE: Options = {
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


# Any: a claim is whatever JSON can hold.
async def read_signed(
    unverified_token: str, *, types: frozenset[str], keys: SigningKeys, leeway_seconds: float, now: float
) -> dict[str, Any]:
    """Answer the claims of a JWT of one of these types, signed by the provider and valid now.

    Raises InvalidTokenError or UnavailableError. Issuer and audience are the caller's to check.
    """
    try:
        header = jwt.get_unverified_header(unverified_token)
    except (jwt.PyJWTError, ValueError, RecursionError) as fault:
        raise InvalidTokenError("the token is not a JWT") from fault
    # RFC 8725 §3.11: an ID Token is signed by the same keys; its type alone keeps it from opening an API.
    if str(header.get("typ", "")).lower().removeprefix("application/") not in types:
        raise InvalidTokenError("the token is not of the type that is expected here")
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or not isinstance(kid, str) or header.keys() & _REFUSED_MEMBERS:
        raise InvalidTokenError("the token has a header that is not accepted here")
    key = await keys.find(kid)
    if key is None:
        raise InvalidTokenError("the token was signed with an unknown key")
    try:
        claims: dict[str, Any] = jwt.decode(
            unverified_token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ALONE
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as fault:
        raise InvalidTokenError("the token's signature is wrong") from fault
    _check_times(claims, leeway_seconds=leeway_seconds, now=now)
    return claims


# Any: as above.
def _check_times(claims: dict[str, Any], *, leeway_seconds: float, now: float) -> None:
    # RFC 7519 §4.1.4 to §4.1.6. A number that is no whole one, or of absurd size, is no time of ours.
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if not all(type(value) is int and 0 <= value < 1 << 53 for value in times.values()):
        raise InvalidTokenError("the token has a time that is none")
    if "exp" in times and now >= times["exp"] + leeway_seconds:
        raise InvalidTokenError("the token has expired")
    if max(times.get("iat", 0), times.get("nbf", 0)) > now + leeway_seconds:
        raise InvalidTokenError("the token is not valid yet")
