from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clock import Clock
from idp.errors import PageError
from idp.notifications.outbox import Sealer
from idp.passkeys import addition, continuation, passkey_name
from idp.passkeys.endpoints.ceremony_gate import CeremonyGate
from idp.passkeys.refusal import SIGNED_OUT, Refusal
from idp.passkeys.relying_party import RelyingParty
from idp.sessions.cookie import SessionCookies
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database
from idp.web.parameters import Json


class AdditionOptions:
    """POST /passkeys/addition/options: `{"operation": …}`, confirmed, begins one more passkey."""

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
            addition.begin_addition,
            operation_id=_operation_id(admitted.body),
            session=await _session(self._cookies, request, now=now),
            browser_sha256=admitted.browser.sha256,
            relying_party=self._relying_party,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return JSONResponse(outcome)


class Addition:
    """POST /passkeys/addition: `{"credential": …, "name": …}` adds the passkey; the name may be left out."""

    def __init__(
        self,
        *,
        database: Database,
        gate: CeremonyGate,
        cookies: SessionCookies,
        relying_party: RelyingParty,
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._cookies = cookies
        self._relying_party = relying_party
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        request_id = continuation.request_id(admitted.body.get("request"))
        outcome = await self._database.transact(
            addition.finish_addition,
            session=await _session(self._cookies, request, now=now),
            credential=admitted.body.get("credential"),
            name=_name(admitted.body),
            browser_sha256=admitted.browser.sha256,
            relying_party=self._relying_party,
            sealer=self._sealer,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        if request_id:
            return JSONResponse({"continue": continuation.address(request_id, has_notice=False)})
        return JSONResponse({"continue": "/account?done=passkey-added"})


async def _session(cookies: SessionCookies, request: Request, *, now: datetime) -> BrowserSession:
    session = await cookies.current(request, now=now)
    if session is None:
        raise Refusal(SIGNED_OUT).error()
    return session


def _operation_id(body: dict[str, Json]) -> str:
    operation_id = body.get("operation")
    # Left out, it is one that was never confirmed.
    return operation_id if isinstance(operation_id, str) else ""


def _name(body: dict[str, Json]) -> str | None:
    presented = body.get("name")
    if presented is None or presented == "":
        return None
    name = passkey_name.chosen(presented) if isinstance(presented, str) else None
    if name is None:
        raise PageError(
            "That name can't be used",
            f"Choose a name of plain text, at most {passkey_name.MAX_LENGTH} characters long.",
            code="invalid_name",
        )
    return name
