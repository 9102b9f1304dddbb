"""Where the provider tells the demo app that somebody signed out (OIDC Back-Channel Logout 1.0)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.demo.browser_sessions import BrowserSessions
from idp.resource_server import AuthorizationServer
from idp.resource_server.errors import InvalidTokenError, UnavailableError
from idp.resource_server.signed_document import LONGEST, read_signed

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TYPES = frozenset({"logout+jwt"})
_REQUIRED = ("iss", "aud", "iat", "exp", "jti", "events")  # §2.4


class BackChannelLogoutEndpoint:
    """`POST /backchannel-logout`: ends the sessions here that began with a session that is over there."""

    def __init__(self, *, server: AuthorizationServer, client_id: str, sessions: BrowserSessions) -> None:
        self._server = server
        self._client_id = client_id
        self._sessions = sessions

    async def post(self, request: Request) -> Response:
        async with request.form(max_files=0, max_fields=5, max_part_size=LONGEST) as form:
            presented_token = form.get("logout_token")
        try:
            claims = await read_logout_token(presented_token, server=self._server, client_id=self._client_id)
        except InvalidTokenError as fault:
            body = {"error": "invalid_request", "error_description": f"no logout token for here: {fault}"}
            return JSONResponse(body, status_code=400)
        except UnavailableError as fault:
            # Not the token's fault: the provider will send it again.
            return JSONResponse({"error_description": str(fault)}, status_code=fault.status)
        # A second copy of a token ends what is over already: it does no harm, and is answered like the first.
        self._sessions.end_signed_in(sid=claims.get("sid"), sub=claims.get("sub"))
        return Response(status_code=200)


# Any: claims are whatever JSON the provider signed.
async def read_logout_token(
    presented_token: object, *, server: AuthorizationServer, client_id: str
) -> dict[str, Any]:
    """Check a logout token as §2.6 asks and answer its claims. Raises InvalidTokenError or UnavailableError.

    The type keeps an ID Token, signed by the same keys, from signing anybody out (RFC 8725 §3.11).
    """
    if not isinstance(presented_token, str) or len(presented_token) > LONGEST:
        raise InvalidTokenError("it is missing or too long")
    claims = await read_signed(
        presented_token,
        types=_TYPES,
        keys=server.keys,
        leeway_seconds=server.leeway_seconds,
        now=server.clock(),
    )
    if any(name not in claims for name in _REQUIRED):
        raise InvalidTokenError("it lacks a claim")
    audience = claims["aud"]
    if claims["iss"] != server.issuer or client_id not in (
        audience if isinstance(audience, list) else [audience]
    ):
        raise InvalidTokenError("it is from or for somebody else")
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise InvalidTokenError("its events do not say that somebody signed out")
    # §2.4: what tells it from an ID Token in case all else fails.
    if "nonce" in claims:
        raise InvalidTokenError("it has a nonce")
    named = [claims[name] for name in ("sid", "sub") if name in claims]
    if not named or not all(isinstance(value, str) and value for value in named):
        raise InvalidTokenError("it names nobody")
    return claims
