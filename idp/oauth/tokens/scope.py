"""Scopes (RFC 6749 §3.3): reading, allowing, narrowing; and what the standard ones stand for."""

import re
from collections.abc import Collection

from idp.errors import InvalidScope

# RFC 6749 §3.3: %x21 / %x23-5B / %x5D-7E.
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,255}", re.ASCII)
MAX_LENGTH = 4000
MAX_SCOPES = 100

OPENID = "openid"
OFFLINE_ACCESS = "offline_access"
STANDARD = ("openid", "profile", "email", "address", "phone", "offline_access")
CLAIMS = {
    "profile": (
        "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
        "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}  # fmt: skip
"""The claims that each scope releases (OIDC Core §5.4)."""

ABOUT_PEOPLE = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
"""Scopes that mean nothing where nobody is signed in."""


def parse(scope: str | None) -> tuple[str, ...]:
    """Read a scope parameter into its tokens, in order and without repetition; raises InvalidScope."""
    if scope is None:
        return ()
    if len(scope) > MAX_LENGTH:
        raise InvalidScope("scope is too long")
    tokens = tuple(dict.fromkeys(scope.split(" ")))
    if len(tokens) > MAX_SCOPES or not all(_SCOPE.fullmatch(token) for token in tokens):
        raise InvalidScope("scope must be a few legal tokens, one space between them")
    return tokens


def allow(requested: Collection[str], *, registered: Collection[str]) -> tuple[str, ...]:
    """Answer the requested scopes that the client may have; raises InvalidScope.

    OIDC Core §3.1.2.1: scopes that nobody here knows are passed over. One that we do know, but the client is
    not registered for, is an error that its developer should see.
    """
    forbidden = [scope for scope in requested if scope in STANDARD and scope not in registered]
    if forbidden:
        raise InvalidScope(f"the client is not registered for the scope {forbidden[0]}")
    granted = tuple(scope for scope in requested if scope in registered)
    if not granted:
        raise InvalidScope("no scope was asked for that the client may have")
    return granted


def claims_of(scopes: Collection[str]) -> tuple[str, ...]:
    """Name the claims that the scopes release together."""
    return tuple(name for scope, names in CLAIMS.items() if scope in scopes for name in names)


def releasing(claims: Collection[str]) -> tuple[str, ...]:
    """Name the scopes that would release the claims."""
    return tuple(scope for scope, names in CLAIMS.items() if not set(names).isdisjoint(claims))


def narrow(requested: Collection[str], *, granted: Collection[str]) -> tuple[str, ...]:
    """Answer the scopes of one access token: all that was granted, or fewer, never more (RFC 6749 §6)."""
    if not requested:
        return tuple(granted)
    if not set(requested) <= set(granted):
        raise InvalidScope("scope must not be wider than what was granted")
    return tuple(requested)
