"""What can go wrong, in the words of the specifications.

`OAuthError` and its children are answers of protocol endpoints: one class per registered error code.
`PageError` is an answer to a person. `description` and `message` are written for the reader outside;
`detail` is for our log alone. Only `web/error_responses.py` turns any of them into a response.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

ResponseMode = Literal["query", "form_post"]


@dataclass(frozen=True, slots=True)
class VerifiedRedirectUri:
    """A redirect URI registered for the client; only `clients/redirect_uri.match_registered` makes one."""

    uri: str


@dataclass(frozen=True, slots=True)
class RedirectTarget:
    """Where, and how, an authorization error may be sent back to the client."""

    redirect_uri: VerifiedRedirectUri
    state: str | None
    response_mode: ResponseMode


class OAuthError(Exception):
    """An error that a client application reads: a registered code and a sentence for its developer."""

    code: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(self, description: str, *, detail: str | None = None) -> None:
        super().__init__(description)
        self.description = description
        self.detail = detail


class InvalidRequest(OAuthError):
    """RFC 6749 §5.2: a parameter is missing, repeated, malformed or not allowed here."""

    code = "invalid_request"


class RequestTooLarge(InvalidRequest):
    """RFC 9110 §15.5.14: the body is over the limit."""

    status = 413


class UnsupportedMediaType(InvalidRequest):
    """RFC 9110 §15.5.16: the body is of a kind that this endpoint does not read."""

    status = 415


class InvalidClient(OAuthError):
    """RFC 6749 §5.2: the client is unknown or did not prove who it is."""

    code = "invalid_client"
    status = 401


class InvalidGrant(OAuthError):
    """RFC 6749 §5.2: the code or refresh token is invalid, expired, revoked or another's."""

    code = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """RFC 6749 §4.1.2.1, §5.2: the client is not registered for this."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """RFC 6749 §5.2."""

    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """RFC 6749 §4.1.2.1."""

    code = "unsupported_response_type"


class InvalidScope(OAuthError):
    """RFC 6749 §5.2: the scope is unknown, malformed or wider than allowed."""

    code = "invalid_scope"


class InvalidTarget(OAuthError):
    """RFC 8707 §2: the resource is unknown, malformed or not allowed for the client."""

    code = "invalid_target"


class AccessDenied(OAuthError):
    """RFC 6749 §4.1.2.1: the person said no."""

    code = "access_denied"


class LoginRequired(OAuthError):
    """OIDC Core §3.1.2.6."""

    code = "login_required"


class ConsentRequired(OAuthError):
    """OIDC Core §3.1.2.6."""

    code = "consent_required"


class InteractionRequired(OAuthError):
    """OIDC Core §3.1.2.6."""

    code = "interaction_required"


class AccountSelectionRequired(OAuthError):
    """OIDC Core §3.1.2.6."""

    code = "account_selection_required"


class UnmetAuthenticationRequirements(OAuthError):
    """OpenID Connect Core Error Code unmet_authentication_requirements 1.0."""

    code = "unmet_authentication_requirements"


class RequestNotSupported(OAuthError):
    """OIDC Core §3.1.2.6: request objects are not offered."""

    code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    """OIDC Core §3.1.2.6: requests by reference are not offered."""

    code = "request_uri_not_supported"


class InvalidRequestUri(OAuthError):
    """RFC 9101 §6, OIDC Core §3.1.2.6: the request_uri names no request of this client that still waits."""

    code = "invalid_request_uri"


class RegistrationNotSupported(OAuthError):
    """OIDC Core §3.1.2.6: the registration parameter is not offered."""

    code = "registration_not_supported"


class InvalidToken(OAuthError):
    """RFC 6750 §3.1: the access token is expired, revoked, malformed or for somebody else."""

    code = "invalid_token"
    status = 401


class InsufficientScope(OAuthError):
    """RFC 6750 §3.1: the access token does not carry the scope that this needs."""

    code = "insufficient_scope"
    status = 403


class InvalidDpopProof(OAuthError):
    """RFC 9449 §5: the DPoP proof is malformed, for another request, too old or used before."""

    code = "invalid_dpop_proof"


class UseDpopNonce(OAuthError):
    """RFC 9449 §8: the proof lacks a nonce of ours; `nonce` is one to try again with."""

    code = "use_dpop_nonce"

    def __init__(self, description: str, *, nonce: str) -> None:
        super().__init__(description)
        self.nonce = nonce


class InvalidRedirectUri(OAuthError):
    """RFC 7591 §3.2.2: a redirect URI cannot be registered."""

    code = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """RFC 7591 §3.2.2: a field of the client's metadata cannot be registered."""

    code = "invalid_client_metadata"


class TemporarilyUnavailable(OAuthError):
    """RFC 6749 §4.1.2.1: something below us failed and nothing was decided; the same may be sent again."""

    code = "temporarily_unavailable"
    status = 503

    def __init__(self, *, detail: str, retry_after_seconds: int = 1) -> None:
        super().__init__("the server cannot answer just now; send the same request again", detail=detail)
        self.retry_after_seconds = retry_after_seconds


class TooManyRequests(OAuthError):
    """RFC 6585 §4: this caller has asked too often."""

    code = "temporarily_unavailable"
    status = 429

    def __init__(self, *, retry_after_seconds: int, detail: str | None = None) -> None:
        super().__init__("too many requests; wait as long as Retry-After says", detail=detail)
        self.retry_after_seconds = retry_after_seconds


class AuthorizationError(Exception):
    """An OAuthError at the authorization endpoint, with the verified place it may be sent to.

    `target` None means that nothing may be redirected (unknown client, bad redirect URI): the person reads a
    page instead.
    """

    def __init__(self, error: OAuthError, *, target: RedirectTarget | None) -> None:
        super().__init__(error.description)
        self.error = error
        self.target = target


class BearerError(Exception):
    """An OAuthError at a protected resource, told in WWW-Authenticate (RFC 6750 §3).

    `error` None means that no token was presented: the challenge then carries no error code.
    """

    def __init__(self, error: OAuthError | None, *, scheme: str = "Bearer") -> None:
        super().__init__(error.description if error else "no token")
        self.error = error
        self.scheme = scheme


@dataclass(frozen=True, slots=True)
class NextStep:
    """Where a person goes from an error page: the words of the link and its address within the provider."""

    label: str
    href: str


class PageError(Exception):
    """An error that a person reads: a heading, a plain sentence and the next step.

    A request made by our own scripts (`Accept: application/json`) gets the same sentence as JSON with `code`.
    """

    def __init__(
        self,
        heading: str,
        message: str,
        *,
        code: str,
        status: int = 400,
        next_step: NextStep | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.heading = heading
        self.message = message
        self.code = code
        self.status = status
        self.next_step = next_step
        self.detail = detail
