from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALLOWED_ORIGIN = "idp.allowed_origin"
_PREFLIGHT_SECONDS = "3600"


def allow_everyone(response: Response) -> Response:
    """Let every page read a public document."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def allow_own_pages(request: Request, client_uris: Sequence[str]) -> None:
    """Let the calling page read the answer, an error too, if one of the client's addresses has its origin.

    Never with credentials: no endpoint that other origins may call reads a cookie.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin in {origin_of(uri) for uri in client_uris}:
        allow_origin(request, origin)


def allow_origin(request: Request, origin: str) -> None:
    """Let the calling page, whose origin this is, read the answer."""
    request.scope[_ALLOWED_ORIGIN] = origin


class CrossOriginMiddleware:
    """Spells out what an endpoint allowed, on whatever answer comes of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_origin(message: Message) -> None:
            origin = scope.get(_ALLOWED_ORIGIN)
            if message["type"] == "http.response.start" and origin is not None:
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = "WWW-Authenticate, DPoP-Nonce, Retry-After"
                headers.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, send_with_origin)


def preflight(request: Request, *, is_known: bool, methods: str) -> Response:
    """Answer a browser that asks whether a page of its origin may call; a foreign one learns nothing."""
    response = Response(status_code=204, headers={"Vary": "Origin"})
    if is_known:
        response.headers["Access-Control-Allow-Origin"] = request.headers["origin"]
        response.headers["Access-Control-Allow-Methods"] = methods
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, DPoP"
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return response


def public_preflight() -> Response:
    """Answer a browser that asks whether a page may read a public document: any page, with any header."""
    response = allow_everyone(Response(status_code=204))
    response.headers["Access-Control-Allow-Methods"] = "GET"
    response.headers["Access-Control-Allow-Headers"] = "*"
    response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return response


def origin_of(uri: str) -> str:
    """Answer a web address's origin (RFC 6454 §4), as a browser spells it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
