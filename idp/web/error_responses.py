import re

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.errors import (
    AuthorizationError,
    BearerError,
    InvalidClient,
    InvalidDpopProof,
    NextStep,
    OAuthError,
    PageError,
    TemporarilyUnavailable,
    TooManyRequests,
    UseDpopNonce,
)
from idp.request_context import request_context
from idp.web.client_response import ClientResponse
from idp.web.pages import Pages

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.error")

# RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
_NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")

# What a person reads when a request that nothing may be redirected for is wrong.
_UNSENDABLE = (
    "We can't send you back to the app, because the request it sent isn't one it registered. "
    "The app's developer can look up reference {reference}."
)


class ErrorResponses:
    """The only place where an error becomes a response; nothing internal passes it."""

    def __init__(self, app: ASGIApp, *, pages: Pages, client_response: ClientResponse, issuer: str) -> None:
        self._app = app
        self._pages = pages
        self._client_response = client_response
        self._issuer = issuer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:  # The last resort of every request.
            if has_started:
                raise
            response = self._respond(error, Headers(scope=scope))
            await response(scope, receive, send)

    def _respond(self, error: Exception, headers: Headers) -> Response:
        match error:
            case AuthorizationError():
                return self._authorization(error)
            case BearerError():
                return self._bearer(error)
            case TemporarilyUnavailable() | TooManyRequests() if "text/html" in headers.get("accept", ""):
                _log(error)
                return self._waiting(error)
            case OAuthError():
                _log(error)
                return self._oauth(error, headers)
            case PageError():
                return self._page(error, headers)
            case HTTPException():
                return self._page(_NOT_FOUND, headers)
            case _:
                log.error("internal_error", exc_info=error)
                return self._page(_INTERNAL, headers)

    def _authorization(self, failure: AuthorizationError) -> Response:
        error, target = failure.error, failure.target
        _log(error)
        # Nothing is wrong with the request: the page can be loaded again, and goes on from there.
        if isinstance(error, TemporarilyUnavailable | TooManyRequests):
            return self._waiting(error)
        if target is not None:
            return self._client_response.to(
                target, {"error": error.code, "error_description": allowed_text(error.description)}
            )
        return self._pages.render(
            "error.html",
            {
                "heading": "This sign-in can't go on",
                "message": _UNSENDABLE.format(reference=_reference()),
                "hint": error.description,
                "next_step": None,
                "reference": _reference(),
            },
            status=error.status,
        )

    def _bearer(self, failure: BearerError) -> Response:
        # RFC 6750 §3: without a token the challenge names no error.
        challenge = f'{failure.scheme} realm="{self._issuer}"'
        if failure.error is None:
            return Response(status_code=401, headers={"WWW-Authenticate": challenge})
        error = failure.error
        _log(error)
        text = allowed_text(error.description)
        challenge += f', error="{error.code}", error_description="{text}"'
        headers = {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
        if isinstance(error, UseDpopNonce):
            headers["DPoP-Nonce"] = error.nonce
        # RFC 9449 §7.1: at a protected resource, a bad proof is 401 like a bad token.
        is_proof = isinstance(error, InvalidDpopProof | UseDpopNonce)
        return JSONResponse(
            {"error": error.code, "error_description": text},
            status_code=401 if is_proof else error.status,
            headers=headers,
        )

    def _oauth(self, error: OAuthError, headers: Headers) -> Response:
        answer = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        # RFC 6749 §5.2: a client that tried the Authorization header is told which scheme to use there.
        if isinstance(error, InvalidClient) and "authorization" in headers:
            answer["WWW-Authenticate"] = f'Basic realm="{self._issuer}"'
        if isinstance(error, TemporarilyUnavailable | TooManyRequests):
            answer["Retry-After"] = str(error.retry_after_seconds)
        if isinstance(error, UseDpopNonce):
            answer["DPoP-Nonce"] = error.nonce
        return JSONResponse(
            {"error": error.code, "error_description": allowed_text(error.description)},
            status_code=error.status,
            headers=answer,
        )

    def _waiting(self, error: TemporarilyUnavailable | TooManyRequests) -> Response:
        response = self._page(_BUSY if error.status == _BUSY.status else _TOO_MANY, Headers({}))
        response.headers["Retry-After"] = str(error.retry_after_seconds)
        return response

    def _page(self, error: PageError, headers: Headers) -> Response:
        if error.status < 500:  # noqa: PLR2004 - the server's own faults are logged where they are caught
            log.info("page_error", code=error.code, status=error.status, detail=error.detail)
        if _wants_json(headers):
            return JSONResponse(
                {"error": error.code, "message": error.message, "reference": _reference()},
                status_code=error.status,
                headers={"Cache-Control": "no-store"},
            )
        return self._pages.render(
            "error.html",
            {
                "heading": error.heading,
                "message": error.message,
                "hint": None,
                "next_step": error.next_step,
                "reference": _reference(),
            },
            status=error.status,
        )


def allowed_text(description: str) -> str:
    """Spell a description in the characters that RFC 6749 §5.2 allows."""
    return _NOT_ALLOWED.sub("'", description)


def _log(error: OAuthError) -> None:
    log.info("oauth_error", code=error.code, description=error.description, detail=error.detail)


def _wants_json(headers: Headers) -> bool:
    return "application/json" in headers.get("accept", "") or headers.get("content-type", "").startswith(
        "application/json"
    )


def _reference() -> str:
    context = request_context.get()
    return context.reference if context else ""


_NOT_FOUND = PageError(
    "There is nothing here",
    "The address may be mistyped, or the page may have moved.",
    code="not_found",
    status=404,
    next_step=NextStep("Go to your account", "/account"),
)
_BUSY = PageError(
    "We can't answer just now",
    "Nothing was changed. Load this page again in a moment.",
    code="temporarily_unavailable",
    status=503,
)
_TOO_MANY = PageError(
    "Too many tries",
    "There were too many requests from your network. Wait a minute, then load this page again.",
    code="temporarily_unavailable",
    status=429,
)
_INTERNAL = PageError(
    "Something went wrong on our side",
    "Nothing was changed. Try again in a moment.",
    code="server_error",
    status=500,
    next_step=NextStep("Go to your account", "/account"),
)
