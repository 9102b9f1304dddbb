from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

Verb = Callable[[Request], Awaitable[Response]]
_VERBS = ("get", "post", "put", "patch", "delete", "options")


def route(path: str, endpoint: object) -> Route:
    """Put an Endpoint (one async method for each HTTP verb) at a path."""
    return Route(path, endpoint=_application(endpoint))


def _application(endpoint: object) -> ASGIApp:
    verbs: dict[str, Verb] = {
        name.upper(): getattr(endpoint, name) for name in _VERBS if hasattr(endpoint, name)
    }
    if "GET" in verbs:
        verbs["HEAD"] = verbs["GET"]
    allowed = ", ".join(sorted(verbs))

    class Application:
        """An ASGI application (a class, so that Starlette does not take it for a request handler)."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            verb = verbs.get(scope["method"])
            if verb is None:
                response = Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": allowed})
            else:
                response = await verb(Request(scope, receive, send))
            await response(scope, receive, send)

    return Application()


async def not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answer an address that nothing is at."""
    raise HTTPException(HTTPStatus.NOT_FOUND)
