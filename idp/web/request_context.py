import time
from collections.abc import Collection, Sequence

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp import metrics
from idp.opaque_token import random_bytes
from idp.request_context import RequestContext, request_context
from idp.web import client_address

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.request")

# Crockford's base 32: no letters that read like digits, easy to say on the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestContextMiddleware:
    """Gives each request an id, a reference that a person can read out, and its caller's address; logs it.

    The query string is never logged: codes and links travel there.
    """

    def __init__(
        self, app: ASGIApp, *, trusted: Sequence[client_address.Network], known_paths: Collection[str]
    ) -> None:
        self._app = app
        self._trusted = trusted
        self._known_paths = frozenset(known_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else ""
        reference = _new_reference()
        context = RequestContext(
            request_id=reference.replace("-", ""),
            reference=reference,
            address=client_address.resolve(peer, forwarded_for=_forwarded_for(scope), trusted=self._trusted),
        )
        token = request_context.set(context)
        started = time.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", context.request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.monotonic() - started
            path = scope["path"] if scope["path"] in self._known_paths else "other"
            metrics.count_request(method=_known(scope["method"]), path=path, status=status, seconds=seconds)
            if scope["path"] not in _QUIET:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                )
            request_context.reset(token)


def _forwarded_for(scope: Scope) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]


def _known(method: str) -> str:
    return method if method in _METHODS else "other"


def _new_reference() -> str:
    """Draw a reference like 7F3K-2M9A (40 bits: enough to find one line in a log)."""
    letters = "".join(_ALPHABET[byte % 32] for byte in random_bytes(8))
    return f"{letters[:4]}-{letters[4:]}"
