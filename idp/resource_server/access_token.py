from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from idp.resource_server.errors import InsufficientAuthenticationError, InsufficientScopeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a request needs beside a valid token.

    `acr_values`: one of them is enough. `max_age_seconds`: how long ago the person may have signed in.
    """

    scopes: frozenset[str] = frozenset()
    acr_values: tuple[str, ...] = ()
    max_age_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A valid access token. `checked_at` is the time, in seconds, that it was found valid at."""

    subject: str
    client_id: str
    scopes: frozenset[str]
    # Any: a claim is whatever JSON can hold.
    claims: Mapping[str, Any] = field(repr=False)
    checked_at: float

    def require(self, requirement: Requirement) -> None:
        """Raise InsufficientScopeError or InsufficientAuthenticationError unless the token will do."""
        if not requirement.scopes <= self.scopes:
            raise InsufficientScopeError(scopes=requirement.scopes)
        if requirement.acr_values and self.claims.get("acr") not in requirement.acr_values:
            raise InsufficientAuthenticationError(
                "the person has to sign in in another way for this",
                acr_values=requirement.acr_values,
                max_age_seconds=requirement.max_age_seconds,
            )
        if requirement.max_age_seconds is not None and not self._is_recent(requirement.max_age_seconds):
            raise InsufficientAuthenticationError(
                "the person has to sign in again for this",
                acr_values=requirement.acr_values,
                max_age_seconds=requirement.max_age_seconds,
            )

    def _is_recent(self, max_age_seconds: int) -> bool:
        # RFC 9470 §6.2: without auth_time nobody knows, so it is not recent.
        auth_time = self.claims.get("auth_time")
        return type(auth_time) is int and self.checked_at - auth_time <= max_age_seconds
