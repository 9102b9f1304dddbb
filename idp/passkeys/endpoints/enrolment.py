from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clock import Clock
from idp.errors import InvalidRequest
from idp.notifications.outbox import Sealer
from idp.passkeys import continuation, enrolment
from idp.passkeys.endpoints.browser_sign_in import BrowserSignIn
from idp.passkeys.endpoints.ceremony_gate import CeremonyGate
from idp.passkeys.refusal import Refusal
from idp.passkeys.relying_party import RelyingParty
from idp.settings import Sessions
from idp.storage.database import Database
from idp.web.parameters import Json


class EnrolmentOptions:
    """POST /passkeys/enrolment/options: `{"enrolment": …}` begins the account's passkey."""

    def __init__(
        self, *, database: Database, gate: CeremonyGate, relying_party: RelyingParty, clock: Clock
    ) -> None:
        self._database = database
        self._gate = gate
        self._relying_party = relying_party
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        outcome = await self._database.transact(
            enrolment.begin_enrolment,
            enrolment_token=_enrolment_token(admitted.body),
            browser_sha256=admitted.browser.sha256,
            relying_party=self._relying_party,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return JSONResponse(outcome)


class Enrolment:
    """POST /passkeys/enrolment: `{"enrolment": …, "credential": …, "request": …}` signs the new person in."""

    def __init__(
        self,
        *,
        database: Database,
        gate: CeremonyGate,
        browser_sign_in: BrowserSignIn,
        relying_party: RelyingParty,
        lifetimes: Sessions,
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._browser_sign_in = browser_sign_in
        self._relying_party = relying_party
        self._lifetimes = lifetimes
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        request_id = continuation.request_id(admitted.body.get("request"))
        renewal = await self._browser_sign_in.prepare(request, admitted.browser, now=now)
        outcome = await self._database.transact(
            enrolment.finish_enrolment,
            enrolment_token=_enrolment_token(admitted.body),
            credential=admitted.body.get("credential"),
            browser=renewal.browser,
            relying_party=self._relying_party,
            lifetimes=self._lifetimes,
            sealer=self._sealer,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return self._browser_sign_in.response(outcome, renewal, request_id=request_id)


def _enrolment_token(body: dict[str, Json]) -> str:
    token = body.get("enrolment")
    if not isinstance(token, str):
        raise InvalidRequest("enrolment is required")
    return token
