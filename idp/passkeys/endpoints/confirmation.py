from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from idp.clock import Clock
from idp.errors import InvalidRequest
from idp.passkeys import confirmation, operation_words
from idp.passkeys.endpoints.ceremony_gate import CeremonyGate
from idp.passkeys.refusal import OPERATION_UNAVAILABLE, SIGNED_OUT, Refusal
from idp.passkeys.relying_party import RelyingParty
from idp.sessions import confirmation as session_confirmation
from idp.sessions.cookie import SessionCookies
from idp.storage import confirmations
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import Json, query_parameters


class ConfirmPage:
    """GET /confirm: says in plain words what is about to happen, and asks for a passkey."""

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        cookies: SessionCookies,
        pages: Pages,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._cookies = cookies
        self._pages = pages
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        session = await self._cookies.current(request, now=now)
        if session is None:
            return RedirectResponse("/login", status_code=303)
        waiting = await self._database.read(
            confirmations.find_open,
            confirmation_id=query_parameters(request).get("operation") or "",
            account_id=session.account_id,
            session_id=session.id,
            now=now,
        )
        if waiting is None:
            raise Refusal(OPERATION_UNAVAILABLE).error()
        operation = session_confirmation.parse(waiting.operation)
        words = operation_words.describe(operation.kind, operation.parameters)
        return self._pages.render(
            "confirm.html",
            {
                "heading": words.heading,
                "consequence": words.consequence,
                "operation_id": waiting.id,
                "address": waiting.address,
            },
            browser=self._browsers.identify(request),
        )


class ConfirmationOptions:
    """POST /passkeys/confirmation/options: `{"operation": …}` asks for the operation's own challenge."""

    def __init__(
        self,
        *,
        database: Database,
        gate: CeremonyGate,
        cookies: SessionCookies,
        relying_party: RelyingParty,
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._cookies = cookies
        self._relying_party = relying_party
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        outcome = await self._database.transact(
            confirmation.begin_confirmation,
            operation_id=_operation_id(admitted.body),
            session=await _session(self._cookies, request, now=now),
            relying_party=self._relying_party,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return JSONResponse(outcome)


class Confirmation:
    """POST /passkeys/confirmation: `{"operation": …, "credential": …}` confirms it, once."""

    def __init__(
        self,
        *,
        database: Database,
        gate: CeremonyGate,
        cookies: SessionCookies,
        relying_party: RelyingParty,
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._cookies = cookies
        self._relying_party = relying_party
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        outcome = await self._database.transact(
            confirmation.finish_confirmation,
            operation_id=_operation_id(admitted.body),
            credential=admitted.body.get("credential"),
            session=await _session(self._cookies, request, now=now),
            relying_party=self._relying_party,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return JSONResponse({"continue": outcome.address})


async def _session(cookies: SessionCookies, request: Request, *, now: datetime) -> BrowserSession:
    session = await cookies.current(request, now=now)
    if session is None:
        raise Refusal(SIGNED_OUT).error()
    return session


def _operation_id(body: dict[str, Json]) -> str:
    operation_id = body.get("operation")
    if not isinstance(operation_id, str):
        raise InvalidRequest("operation is required")
    return operation_id
