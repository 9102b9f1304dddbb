from starlette.requests import Request
from starlette.responses import Response

from idp.errors import ResponseMode
from idp.keys.keyring import ALGORITHM
from idp.oauth import proof
from idp.oauth.authorization.request import PROMPTS, RESPONSE_MODES
from idp.oauth.token import client_assertion
from idp.oauth.token.client_authentication import METHODS
from idp.oauth.token.endpoint import GRANT_TYPES
from idp.oauth.tokens import scope
from idp.settings import Settings
from idp.web.cached_document import CachedDocument
from idp.web.cors import public_preflight

_MAX_AGE_SECONDS = 300

_PROTOCOL_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid")
# Every page fits a small window and a finger; none is for a phone without script (wap).
_DISPLAYS = ("page", "popup", "touch")


def metadata_document(settings: Settings, *, acr_values: tuple[str, ...]) -> dict[str, object]:
    """Say what the provider offers (OIDC Discovery §3, RFC 8414 §2): all of it works, nothing else does.

    Every address comes from the issuer setting, never from a request.
    """
    issuer = settings.issuer
    response_modes: tuple[ResponseMode, ...] = RESPONSE_MODES
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "require_pushed_authorization_requests": settings.require_pushed_authorization_requests,
        "userinfo_endpoint": f"{issuer}/userinfo",
        "introspection_endpoint": f"{issuer}/introspect",
        # RFC 7662 §4: whoever asks proves who it is.
        "introspection_endpoint_auth_methods_supported": [name for name in METHODS if name != "none"],
        "introspection_endpoint_auth_signing_alg_values_supported": list(client_assertion.ALGORITHMS),
        "introspection_signing_alg_values_supported": [ALGORITHM],
        "revocation_endpoint": f"{issuer}/revoke",
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(client_assertion.ALGORITHMS),
        "status_list_aggregation_endpoint": f"{issuer}/status-lists",
        "end_session_endpoint": f"{issuer}/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": list(scope.STANDARD),
        "response_types_supported": ["code"],
        "response_modes_supported": list(response_modes),
        "grant_types_supported": list(GRANT_TYPES),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "userinfo_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(client_assertion.ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": list(proof.ALGORITHMS),
        "prompt_values_supported": list(PROMPTS),
        "acr_values_supported": list(acr_values),
        "display_values_supported": list(_DISPLAYS),
        "claims_supported": [*_PROTOCOL_CLAIMS, *scope.claims_of(scope.STANDARD)],
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        # OIDC Discovery §3: absent would mean true.
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "ui_locales_supported": ["en"],
    }


class MetadataEndpoint:
    """Both well-known addresses of the metadata: one document, from memory."""

    def __init__(self, *, settings: Settings, acr_values: tuple[str, ...]) -> None:
        self._document = CachedDocument(
            metadata_document(settings, acr_values=acr_values), max_age_seconds=_MAX_AGE_SECONDS
        )

    async def options(self, request: Request) -> Response:
        return public_preflight()

    async def get(self, request: Request) -> Response:
        return self._document.response(request)
