from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.clock import Clock
from idp.passkeys import accepted
from idp.passkeys.refusal import SIGNED_OUT, Refusal
from idp.passkeys.relying_party import RelyingParty
from idp.sessions.cookie import SessionCookies
from idp.storage.database import Database


class AcceptedPasskeys:
    """GET /passkeys/accepted: what the Signal API tells the password manager of the person signed in here."""

    def __init__(
        self, *, database: Database, cookies: SessionCookies, relying_party: RelyingParty, clock: Clock
    ) -> None:
        self._database = database
        self._cookies = cookies
        self._relying_party = relying_party
        self._clock = clock

    async def get(self, request: Request) -> Response:
        session = await self._cookies.current(request, now=self._clock())
        signal = (
            await self._database.read(
                accepted.accepted_passkeys,
                account_id=session.account_id,
                relying_party=self._relying_party,
            )
            if session
            else None
        )
        if signal is None:
            raise Refusal(SIGNED_OUT).error()
        return JSONResponse(signal, headers={"Cache-Control": "no-store"})
