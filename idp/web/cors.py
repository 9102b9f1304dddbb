from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

_PREFLIGHT_SECONDS = "3600"


def allow_everyone(response: Response) -> Response:
    """Let every page read a public document."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def allow_own_pages(request: Request, response: Response, client_uris: Sequence[str]) -> None:
    """Let the calling page read the answer if its origin is that of one of the client's own addresses.

    Never with credentials: no endpoint that other origins may call reads a cookie.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return
    response.headers["Vary"] = "Origin"
    if origin in {origin_of(uri) for uri in client_uris}:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate, DPoP-Nonce"


def preflight(request: Request, *, is_known: bool, methods: str) -> Response:
    """Answer a browser that asks whether a page of its origin may call; a foreign one learns nothing."""
    response = Response(status_code=204, headers={"Vary": "Origin"})
    if is_known:
        response.headers["Access-Control-Allow-Origin"] = request.headers["origin"]
        response.headers["Access-Control-Allow-Methods"] = methods
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, DPoP"
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return response


def origin_of(uri: str) -> str:
    """Answer a web address's origin (RFC 6454 §4), as a browser spells it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
