"""Why a request does not get through: one class for each answer that its client may read."""

from typing import ClassVar


class AccessTokenError(Exception):
    """The request does not get through; the message is for the developer of the client."""

    status: ClassVar[int] = 401
    code: ClassVar[str | None] = None

    @property
    def attributes(self) -> dict[str, str]:
        """What the challenge says beside error and description."""
        return {}


class NoTokenError(AccessTokenError):
    """RFC 6750 §3.1: nothing was presented, so there is no error to name."""


class InvalidRequestError(AccessTokenError):
    """RFC 6750 §3.1: the token is presented in a way that cannot be read."""

    status = 400
    code = "invalid_request"


class InvalidTokenError(AccessTokenError):
    """RFC 6750 §3.1: the token is expired, revoked, malformed or for somebody else."""

    code = "invalid_token"


class InvalidProofError(AccessTokenError):
    """RFC 9449 §7.1: the DPoP proof is malformed, for another request, too old or used before."""

    code = "invalid_dpop_proof"


class InsufficientScopeError(AccessTokenError):
    """RFC 6750 §3.1: the token does not carry a scope that this needs."""

    status = 403
    code = "insufficient_scope"

    def __init__(self, *, scopes: frozenset[str]) -> None:
        super().__init__("the access token lacks a scope that this needs")
        self._scopes = scopes

    @property
    def attributes(self) -> dict[str, str]:
        """The scopes to ask for."""
        return {"scope": " ".join(sorted(self._scopes))}


class InsufficientAuthenticationError(AccessTokenError):
    """RFC 9470 §3: the person must sign in again, or more strongly, before this."""

    code = "insufficient_user_authentication"

    def __init__(
        self, message: str, *, acr_values: tuple[str, ...] = (), max_age_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self._acr_values = acr_values
        self._max_age_seconds = max_age_seconds

    @property
    def attributes(self) -> dict[str, str]:
        """What to ask the authorization endpoint for."""
        found = {"acr_values": " ".join(self._acr_values)} if self._acr_values else {}
        if self._max_age_seconds is not None:
            found["max_age"] = str(self._max_age_seconds)
        return found


class UnavailableError(AccessTokenError):
    """The provider's keys or lists cannot be read, so nothing can be said about the token."""

    status = 503
    code = "temporarily_unavailable"
