from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.sessions import browser_session
from idp.sessions.cookie import SessionCookies
from idp.storage import accounts, browser_sessions
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from idp.web.pages import Pages


class EndSessionEndpoint:
    """`POST /account/sessions/end`: signs another of the person's browsers out."""

    def __init__(
        self, *, database: Database, forms: SignedInForms, sessions: SessionCookies, clock: Clock
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        session_id = form.fields.require("session_id")
        idle_since = self._sessions.idle_since(now)
        ended = await self._database.transact(
            end_session,
            session_id=session_id,
            account_id=form.session.account_id,
            idle_since=idle_since,
            now=now,
        )
        if not ended:
            raise PageError(
                "This session is over already",
                "It ended meanwhile. Nothing else was changed.",
                code="unknown_session",
                status=404,
                next_step=NextStep("Go to your account", "/account"),
            )
        if session_id != form.session.id:
            return RedirectResponse("/account?done=session-ended#sessions", status_code=303)
        response = RedirectResponse("/signed-out", status_code=303)
        self._sessions.take_back(response)
        return response


class EndAllSessionsEndpoint:
    """`POST /account/sessions/end-all`: signs the person out of every browser and every app."""

    def __init__(
        self, *, database: Database, forms: SignedInForms, sessions: SessionCookies, clock: Clock
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        await self._database.transact(end_everything, account_id=form.session.account_id, now=now)
        response = RedirectResponse("/signed-out", status_code=303)
        self._sessions.take_back(response)
        return response


class SignOutEndpoint:
    """`POST /account/sign-out`: signs this browser out."""

    def __init__(
        self, *, database: Database, forms: SignedInForms, sessions: SessionCookies, clock: Clock
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        await self._database.transact(sign_out, form.session, now=now)
        response = RedirectResponse("/signed-out", status_code=303)
        self._sessions.take_back(response)
        return response


class SignedOutEndpoint:
    """`/signed-out`: says that it is done."""

    def __init__(self, *, pages: Pages) -> None:
        self._pages = pages

    async def get(self, request: Request) -> Response:
        return self._pages.render("signed_out.html", {"apps": [], "return_to": None, "frames": []})


async def end_session(
    tx: Transaction, *, session_id: str, account_id: str, idle_since: datetime, now: datetime
) -> bool:
    """End one live session of the account; False when it is over, or another's."""
    live = await browser_sessions.live_of_account(tx, account_id=account_id, idle_since=idle_since, now=now)
    session = next((session for session in live if session.id == session_id), None)
    if session is None or not await browser_session.end(tx, session, now=now):
        return False
    await audit.record(tx, "session_ended", account_id=account_id, now=now)
    return True


async def sign_out(tx: Transaction, session: BrowserSession, *, now: datetime) -> None:
    """End the session and what lives only as long as it."""
    if await browser_session.end(tx, session, now=now):
        await audit.record(tx, "signed_out", account_id=session.account_id, now=now)


async def end_everything(
    tx: Transaction, *, account_id: str, now: datetime, actor: str | None = None
) -> bool:
    """End every session and grant of the account, also those just being made; False without an account."""
    account = await accounts.lock(tx, account_id=account_id)
    if account is None:
        return False
    await accounts.raise_epoch(tx, account_id=account_id, seen_epoch=account.token_epoch, now=now)
    await audit.record(tx, "signed_out_everywhere", account_id=account_id, actor=actor, now=now)
    return True
