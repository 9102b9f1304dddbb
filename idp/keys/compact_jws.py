"""The strict reading of a compact JWS (RFC 7515 §7.1): one text for one token, nothing ambiguous."""

import json
from dataclasses import dataclass
from typing import Any

from idp import opaque_token

LONGEST_TOKEN = 16_384
"""No honest token comes near it; a longer one is not worth the parsing."""


class TokenError(Exception):
    """A token is not one of ours, not of this kind, or not valid now; the message is for our log alone."""


@dataclass(frozen=True, slots=True)
class UnverifiedJws:
    """A JWS taken apart; no signature was looked at yet."""

    # Any: a member is whatever JSON can hold; the reader of each checks its type.
    header: dict[str, Any]
    unverified_claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def take_apart(token: str) -> UnverifiedJws:
    """Read header and payload, both JSON objects in their one spelling. Raises TokenError."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise TokenError("too long, or not ASCII")
    segments = token.split(".")
    if len(segments) != 3:  # noqa: PLR2004 - RFC 7515 §7.1: header, payload, signature
        raise TokenError("not a compact JWS")
    signature = opaque_token.decode(segments[2])
    if not signature:
        raise TokenError("signature is not base64url")
    return UnverifiedJws(
        header=_read_object(segments[0], part="header"),
        unverified_claims=_read_object(segments[1], part="payload"),
        signing_input=f"{segments[0]}.{segments[1]}".encode(),
        signature=signature,
    )


# Any: as UnverifiedJws.
def whole_seconds(claims: dict[str, Any], name: str) -> int:
    """Answer a claim that is an instant in whole seconds. Raises TokenError."""
    value = claims.get(name)
    # bool is an int to Python, and never to us.
    if type(value) is not int:
        raise TokenError(f"{name} is not a whole number")
    return value


# Any: as UnverifiedJws.
def _read_object(segment: str, *, part: str) -> dict[str, Any]:
    # RFC 7515 §2: base64url without padding, and in its one spelling: otherwise many texts are one token.
    content = opaque_token.decode(segment)
    if content is None:
        raise TokenError(f"{part} is not base64url")
    try:
        value = json.loads(
            content.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as fault:
        raise TokenError(f"{part} is not strict JSON") from fault
    if not isinstance(value, dict):
        raise TokenError(f"{part} is not an object")
    return value


# Any: as UnverifiedJws.
def _distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 8725 §2.4: of two members with one name, two readers may take different ones.
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member is repeated")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
