from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from idp import audit
from idp.accounts import step_up
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.sessions import confirmation
from idp.sessions.cookie import SessionCookies
from idp.storage import (
    accounts,
    audit_log,
    browser_sessions,
    connections,
    credentials,
    email_addresses,
)
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction

ADDRESS = "/account/export"

_MAX_EVENTS = 10_000

Export = dict[str, object]


class ExportAccountEndpoint:
    """`POST /account/export`: all that the account holds, as JSON, for whoever proved lately who they are."""

    def __init__(
        self,
        *,
        database: Database,
        forms: SignedInForms,
        sessions: SessionCookies,
        recent: timedelta,
        clock: Clock,
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._recent = recent
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        operation_id = step_up.presented_operation(form.fields)
        if operation_id is not None:
            return await self._confirmed(operation_id, form.session, now=now)
        outcome = await self._database.transact(
            export_or_ask,
            session=form.session,
            idle_since=self._sessions.idle_since(now),
            recent=self._recent,
            now=now,
        )
        if isinstance(outcome, str):
            return step_up.to_confirmation(outcome)
        return JSONResponse(
            outcome,
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": 'attachment; filename="account.json"',
            },
        )

    async def _confirmed(self, operation_id: str, session: BrowserSession, *, now: datetime) -> Response:
        taken = await self._database.transact(
            confirmation.take, "account.export", operation_id=operation_id, session=session, now=now
        )
        if taken is None:
            raise step_up.not_confirmed()
        # A file that is saved leaves the page as it is; so the page to stay on comes first.
        return RedirectResponse("/account?done=export-ready#data", status_code=303)


async def export_or_ask(
    tx: Transaction, *, session: BrowserSession, idle_since: datetime, recent: timedelta, now: datetime
) -> Export | str:
    """Answer all that the account holds, or the operation that must be confirmed first."""
    if not await confirmation.is_recent(tx, session, within=recent, now=now):
        return await confirmation.ask(
            tx, "account.export", session=session, parameters={}, address=ADDRESS, now=now
        )
    await audit.record(tx, "account_exported", account_id=session.account_id, now=now)
    return await export(tx, account_id=session.account_id, idle_since=idle_since, now=now)


async def export(tx: Transaction, *, account_id: str, idle_since: datetime, now: datetime) -> Export:
    """Read all that an account holds, in words that need no knowledge of us; no key and no secret."""
    account = await accounts.find(tx, account_id=account_id)
    live = await browser_sessions.live_of_account(tx, account_id=account_id, idle_since=idle_since, now=now)
    return {
        "exported_at": _time(now),
        "account": {
            "id": account_id,
            "name": account.name if account else "",
            "role": account.role if account else None,
            "profile": (account.profile if account else None) or {},
            "created_at": _time(account.created_at) if account else None,
        },
        "email_addresses": [
            {
                "address": one.address,
                "is_primary": one.is_primary,
                "verified_at": _time(one.verified_at),
                "added_at": _time(one.created_at),
            }
            for one in await email_addresses.of_account(tx, account_id=account_id)
        ],
        "passkeys": [
            {
                "name": one.name,
                "authenticator_model": one.aaguid,
                "is_synced": one.backup_eligible,
                "added_at": _time(one.created_at),
                "last_used_at": _time(one.last_used_at),
            }
            for one in await credentials.of_account(tx, account_id=account_id)
        ],
        "sessions": [
            {
                "user_agent": one.user_agent,
                "address": one.address,
                "signed_in_at": _time(one.created_at),
                "last_seen_at": _time(one.last_seen_at),
            }
            for one in live
        ],
        "connected_apps": [
            {
                "client_id": one.client_id,
                "scopes": one.scopes,
                "connected_at": _time(one.created_at),
                "last_used_at": _time(one.last_used_at),
            }
            for one in await connections.of_account(tx, account_id=account_id)
        ],
        "events": [
            {
                "at": _time(one.at),
                "event": one.event,
                "outcome": one.outcome,
                "client_id": one.client_id,
                "address": one.address,
                "details": one.details,
            }
            for one in await audit_log.of_account(tx, account_id=account_id, limit=_MAX_EVENTS)
        ],
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
