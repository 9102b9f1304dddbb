"""What an API does with an access token: checks it by itself, knowing the provider's issuer and nothing else.

A package for services written in Python; `docs/validating-tokens.md` says the same for other languages. It
imports nothing of the provider, so it can be copied into a service as it stands. `validate_access_token` is
the whole of it, `ProtectedResource` puts it in front of an ASGI application.
"""

from idp.resource_server.access_token import AccessToken, Requirement
from idp.resource_server.authorization_server import AuthorizationServer
from idp.resource_server.errors import (
    AccessTokenError,
    InsufficientAuthenticationError,
    InsufficientScopeError,
    InvalidProofError,
    InvalidRequestError,
    InvalidTokenError,
    NoTokenError,
    UnavailableError,
)
from idp.resource_server.middleware import ProtectedResource, refuse
from idp.resource_server.validation import PresentedToken, validate_access_token

__all__ = [
    "AccessToken",
    "AccessTokenError",
    "AuthorizationServer",
    "InsufficientAuthenticationError",
    "InsufficientScopeError",
    "InvalidProofError",
    "InvalidRequestError",
    "InvalidTokenError",
    "NoTokenError",
    "PresentedToken",
    "ProtectedResource",
    "Requirement",
    "UnavailableError",
    "refuse",
    "validate_access_token",
]
