from collections.abc import Callable
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clock import Clock
from idp.errors import InvalidRequest, PageError
from idp.passkeys import authentication, continuation
from idp.passkeys.endpoints.browser_sign_in import BrowserSignIn
from idp.passkeys.endpoints.ceremony_gate import CeremonyGate
from idp.passkeys.refusal import Refusal
from idp.passkeys.relying_party import RelyingParty
from idp.settings import Sessions
from idp.storage.database import Database
from idp.web.browser import Browser
from idp.web.parameters import Json

MAX_ADDRESS_LENGTH = 320  # RFC 5321 §4.5.3.1: 64 and 255, with the @.


class AuthenticationOptions:
    """POST /passkeys/authentication/options: `{}` or `{"email": …}`."""

    def __init__(
        self,
        *,
        database: Database,
        gate: CeremonyGate,
        relying_party: RelyingParty,
        decoy_key: bytes,
        normalize: Callable[[str], str | None],
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._relying_party = relying_party
        self._decoy_key = decoy_key
        self._normalize = normalize
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        email = admitted.body.get("email")
        if email is None or email == "":
            options = await self._database.transact(
                authentication.begin_sign_in,
                browser_sha256=admitted.browser.sha256,
                relying_party=self._relying_party,
                now=now,
            )
        else:
            options = await self._of_address(email, admitted.browser, now=now)
        return JSONResponse(options)

    async def _of_address(self, email: Json, browser: Browser, *, now: datetime) -> dict[str, Json]:
        if not isinstance(email, str):
            raise InvalidRequest("email must be a string")
        normalized = self._normalize(email) if len(email) <= MAX_ADDRESS_LENGTH else None
        if normalized is None:
            raise PageError(
                "That is no e-mail address",
                "That doesn't look like an e-mail address. Correct it, or leave the field empty.",
                code="invalid_email",
            )
        return await self._database.transact(
            authentication.begin_sign_in_of_address,
            normalized_address=normalized,
            browser_sha256=browser.sha256,
            relying_party=self._relying_party,
            decoy_key=self._decoy_key,
            now=now,
        )


class Authentication:
    """POST /passkeys/authentication: `{"credential": …, "request": …}` signs this browser in."""

    def __init__(
        self,
        *,
        database: Database,
        gate: CeremonyGate,
        browser_sign_in: BrowserSignIn,
        relying_party: RelyingParty,
        lifetimes: Sessions,
        nudge_interval: timedelta,
        clock: Clock,
    ) -> None:
        self._database = database
        self._gate = gate
        self._browser_sign_in = browser_sign_in
        self._relying_party = relying_party
        self._lifetimes = lifetimes
        self._nudge_interval = nudge_interval
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        admitted = await self._gate.admit(request)
        request_id = continuation.request_id(admitted.body.get("request"))
        renewal = await self._browser_sign_in.prepare(request, admitted.browser, now=now)
        outcome = await self._database.transact(
            authentication.finish_sign_in,
            credential=admitted.body.get("credential"),
            browser=renewal.browser,
            relying_party=self._relying_party,
            lifetimes=self._lifetimes,
            nudge_interval=self._nudge_interval,
            now=now,
        )
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return self._browser_sign_in.response(outcome, renewal, request_id=request_id)
