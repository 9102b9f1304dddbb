import json
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.resource_server.access_token import AccessToken, Requirement
from idp.resource_server.authorization_server import AuthorizationServer
from idp.resource_server.errors import AccessTokenError, NoTokenError, UnavailableError
from idp.resource_server.proof import ALGORITHMS
from idp.resource_server.validation import read_presented, validate_access_token

SCOPE_KEY = "access_token"
_RESOURCE_KEY = "idp.protected_resource"
_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_METADATA_MAX_AGE_SECONDS = 300
_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


class ProtectedResource:
    """ASGI middleware: only requests with a valid access token for `resource` reach the application.

    `resource` is the service's identifier, an absolute URL and the `aud` of its tokens. The application finds
    the token at `scope["access_token"]` and may call `token.require(...)` for one operation; what that raises
    is answered here, or by `refuse` where a framework catches everything first. RFC 9728: the metadata stand
    at `metadata_path`, which challenges name; a mount that sees only part of the origin routes it to
    `metadata`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        server: AuthorizationServer,
        resource: str,
        requirement: Requirement | None = None,
        scopes_supported: Iterable[str] = (),
    ) -> None:
        parts = urlsplit(resource)
        if not parts.netloc or parts.query or parts.fragment:
            raise ValueError("resource must be an absolute URL without query and fragment")
        self._app = app
        self._server = server
        self._resource = resource
        self._requirement = requirement or Requirement()
        self._origin = f"{parts.scheme}://{parts.netloc}"
        # RFC 9728 §3.1: the well-known part goes between host and path.
        self.metadata_path = _WELL_KNOWN + (parts.path if parts.path != "/" else "")
        self._metadata_uri = self._origin + self.metadata_path
        self._metadata = json.dumps(
            {
                "resource": resource,
                "authorization_servers": [server.issuer],
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": list(ALGORITHMS),
                "scopes_supported": list(scopes_supported),
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self.metadata_path:
            await (await self.metadata(Request(scope)))(scope, receive, send)
        elif scope["type"] == "http":
            await self._guard(scope, receive, send)
        elif scope["type"] == "websocket":
            # A browser's WebSocket carries no Authorization header: nothing is let through unseen.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._app(scope, receive, send)

    async def metadata(self, request: Request) -> Response:
        """Answer the protected resource metadata (RFC 9728 §3.2), to everyone."""
        if request.method not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"Allow": "GET, HEAD"})
        headers = {
            "Cache-Control": f"public, max-age={_METADATA_MAX_AGE_SECONDS}",
            "Access-Control-Allow-Origin": "*",
        }
        return Response(self._metadata, media_type="application/json", headers=headers)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            token = await self._validate(scope)
            await self._app({**scope, SCOPE_KEY: token, _RESOURCE_KEY: self}, receive, send_and_note)
        except AccessTokenError as error:
            if has_started:
                raise
            await self.refusal(error, Headers(scope=scope))(scope, receive, send)

    async def _validate(self, scope: Scope) -> AccessToken:
        headers = Headers(scope=scope)
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        presented = read_presented(
            authorizations=headers.getlist("authorization"),
            proofs=headers.getlist("dpop"),
            method=scope["method"],
            # From our own name: the Host header is the caller's word.
            uri=self._origin + raw_path.partition(b"?")[0].decode("latin-1"),
        )
        token = await validate_access_token(presented, server=self._server, audience=self._resource)
        token.require(self._requirement)
        return token

    def refusal(self, error: AccessTokenError, headers: Headers) -> Response:
        """Answer the client that the request does not get through, and how to come back."""
        if isinstance(error, NoTokenError):
            return self._challenged(Response(status_code=401), "Bearer", "DPoP")
        body = json.dumps({"error": error.code, "error_description": str(error)})
        response = Response(body, status_code=error.status, media_type="application/json")
        if isinstance(error, UnavailableError):
            response.headers["Retry-After"] = "1"
            response.headers["Cache-Control"] = "no-store"
            return response
        is_dpop = headers.get("authorization", "").lower().startswith("dpop ")
        attributes = {"error": error.code or "", "error_description": str(error), **error.attributes}
        return self._challenged(response, "DPoP" if is_dpop else "Bearer", **attributes)

    def _challenged(self, response: Response, *schemes: str, **attributes: str) -> Response:
        """RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1."""
        response.headers["Cache-Control"] = "no-store"
        for scheme in schemes:
            own = {"algs": " ".join(ALGORITHMS)} if scheme == "DPoP" else {}
            parameters = attributes | own | {"resource_metadata": self._metadata_uri}
            text = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
            response.headers.append("WWW-Authenticate", f"{scheme} {text}")
        return response


async def refuse(request: Request, error: Exception) -> Response:
    """A Starlette exception handler for AccessTokenError, in an application behind ProtectedResource."""
    if not isinstance(error, AccessTokenError):
        raise error
    resource: ProtectedResource = request.scope[_RESOURCE_KEY]
    return resource.refusal(error, request.headers)
