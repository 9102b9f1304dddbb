from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.accounts.signed_in import SignedInForm, SignedInForms
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.notifications import security_mail
from idp.notifications.outbox import Sealer
from idp.sessions import browser_session, sign_out
from idp.sessions.cookie import SessionCookies
from idp.storage import accounts, browser_sessions
from idp.storage.database import Database, Transaction


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
        if session_id == form.session.id:
            address = await self._database.transact(sign_out_here, form, now=now)
            return _farewell(address, self._sessions)
        ended = await self._database.transact(
            end_session,
            session_id=session_id,
            account_id=form.session.account_id,
            idle_since=self._sessions.idle_since(now),
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
        return RedirectResponse("/account?done=session-ended#sessions", status_code=303)


class EndAllSessionsEndpoint:
    """`POST /account/sessions/end-all`: signs the person out of every browser and every app."""

    def __init__(
        self,
        *,
        database: Database,
        forms: SignedInForms,
        sessions: SessionCookies,
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        address = await self._database.transact(sign_out_everywhere, form, sealer=self._sealer, now=now)
        return _farewell(address, self._sessions)


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
        address = await self._database.transact(sign_out_here, form, now=now)
        return _farewell(address, self._sessions)


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


async def sign_out_here(tx: Transaction, form: SignedInForm, *, now: datetime) -> str:
    """End this browser's session and what lives only as long as it; answer where the browser goes."""
    session = form.session
    if await browser_session.end(tx, session, now=now):
        await audit.record(tx, "signed_out", account_id=session.account_id, now=now)
    return await sign_out.next_address(
        tx,
        browser_sha256=form.browser_sha256,
        session_id=session.id,
        ended_session_ids=[session.id],
        now=now,
    )


async def sign_out_everywhere(tx: Transaction, form: SignedInForm, *, sealer: Sealer, now: datetime) -> str:
    """End everything that the person has open; answer where this browser goes."""
    ended = await end_everything(tx, account_id=form.session.account_id, now=now)
    await security_mail.tell(
        tx,
        "signed_out_everywhere",
        account_id=form.session.account_id,
        values={},
        sealer=sealer,
        now=now,
    )
    return await sign_out.next_address(
        tx,
        browser_sha256=form.browser_sha256,
        session_id=form.session.id,
        ended_session_ids=ended or [],
        now=now,
    )


async def end_everything(
    tx: Transaction, *, account_id: str, now: datetime, actor: str | None = None
) -> list[str] | None:
    """End every session and grant of the account, also those just being made; answer the sessions' ids.

    None without an account.
    """
    account = await accounts.lock(tx, account_id=account_id)
    if account is None:
        return None
    await accounts.raise_epoch(tx, account_id=account_id, seen_epoch=account.token_epoch, now=now)
    ended = await browser_session.end_all(tx, account_id=account_id, now=now)
    await audit.record(tx, "signed_out_everywhere", account_id=account_id, actor=actor, now=now)
    return ended


def _farewell(address: str, sessions: SessionCookies) -> Response:
    response = RedirectResponse(address, status_code=303)
    sessions.take_back(response)
    return response
