from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.accounts import account_passkeys, account_view, moment, onward
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.sessions.cookie import SessionCookies
from idp.storage import (
    account_deletions,
    accounts,
    audit_log,
    browser_sessions,
    connections,
    credentials,
    email_addresses,
    session_apps,
)
from idp.storage.account_deletions import AccountDeletion
from idp.storage.accounts import Account
from idp.storage.audit_log import AuditRow
from idp.storage.browser_sessions import BrowserSession
from idp.storage.connections import Connection
from idp.storage.credentials import Credential
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress
from idp.storage.session_apps import SessionApp
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters

_SHOWN_EVENTS = 20
_SHOWN_AFTER_END = timedelta(days=1)  # So long apps are told; after that there is no news.
_SHOWN_ENDED_SESSIONS = 5
_DONE = {
    "email-verified": "Your e-mail address is confirmed.",
    "link-sent": "The link is on its way. If many were sent within the hour, wait a while before the next.",
    "email-added": "The address was added. Open the link that we mailed to it.",
    "email-removed": "The address was removed.",
    "primary-email-changed": "Your main address was changed.",
    "deletion-requested": "Your account will be deleted. Until then you can think again.",
    "deletion-cancelled": "Your account stays as it is.",
    "export-ready": "That was you. Choose “Export my data” once more, and the file is saved.",
    "passkey-added": "The passkey was added.",
    "passkey-renamed": "The passkey has its new name.",
    "passkey-removed": "The passkey was removed.",
    "session-ended": "That browser is signed out.",
    "access-removed": "The app no longer has access.",
}


class AccountPageEndpoint:
    """`/account`: everything that a person has here, and the way to end each of it."""

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        sessions: SessionCookies,
        registry: ClientRegistry,
        pages: Pages,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._sessions = sessions
        self._registry = registry
        self._pages = pages
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        session = await self._sessions.current(request, now=now)
        if session is None:
            return RedirectResponse("/login", status_code=303)
        owned = await self._database.read(
            read_owned, session.account_id, idle_since=self._sessions.idle_since(now), now=now
        )
        if owned is None:
            return RedirectResponse("/login", status_code=303)
        names = await self._client_names(owned, now=now)
        return self._pages.render(
            "account.html",
            {
                "person_name": owned.account.name,
                # Words of ours, chosen by name: an address can put no others on the page.
                "done": _DONE.get(query_parameters(request).get("done") or ""),
                "passkeys": [
                    account_view.passkey(passkey, session=session, now=now) for passkey in owned.passkeys
                ],
                "sessions": [account_view.session(one, current=session, now=now) for one in owned.sessions],
                "ended_sessions": [
                    account_view.ended_session(one, apps=owned.told_apps, now=now)
                    for one in owned.ended_sessions
                ],
                "apps": [account_view.app(one, names=names, now=now) for one in owned.connections],
                "add_operation": _operation_id(request),
                "request_id": onward.request_id(query_parameters(request)),
                "deletion_on": moment.day(owned.deletion.due_at) if owned.deletion else None,
                "emails": [account_view.email(one) for one in owned.addresses],
                "events": [account_view.event(one, names=names, now=now) for one in owned.events],
            },
            browser=self._browsers.identify(request),
        )

    async def _client_names(self, owned: "Owned", *, now: datetime) -> dict[str, str]:
        names: dict[str, str] = {}
        for client_id in _client_ids(owned):
            client = await self._registry.find(client_id, now=now)
            if client is not None:
                names[client_id] = client.metadata.client_name
        return names


@dataclass(frozen=True, slots=True)
class Owned:
    """All that one account has."""

    account: Account
    passkeys: list[Credential]
    sessions: list[BrowserSession]
    ended_sessions: list[BrowserSession]
    told_apps: list[SessionApp]
    connections: list[Connection]
    addresses: list[EmailAddress]
    deletion: AccountDeletion | None
    events: list[AuditRow]


async def read_owned(
    tx: Transaction, account_id: str, *, idle_since: datetime, now: datetime
) -> Owned | None:
    """Read all that an account has."""
    account = await accounts.find(tx, account_id=account_id)
    if account is None:
        return None
    ended = await browser_sessions.ended_of_account(
        tx, account_id=account_id, since=now - _SHOWN_AFTER_END, limit=_SHOWN_ENDED_SESSIONS
    )
    told = await session_apps.of_sessions(tx, session_ids=[session.id for session in ended])
    return Owned(
        account=account,
        passkeys=await credentials.of_account(tx, account_id=account_id),
        sessions=await browser_sessions.live_of_account(
            tx, account_id=account_id, idle_since=idle_since, now=now
        ),
        # Those alone that had apps: of the others there is nothing to say.
        ended_sessions=[session for session in ended if any(app.session_id == session.id for app in told)],
        told_apps=told,
        connections=await connections.of_account(tx, account_id=account_id),
        addresses=await email_addresses.of_account(tx, account_id=account_id),
        deletion=await account_deletions.find(tx, account_id=account_id),
        events=await audit_log.of_account(tx, account_id=account_id, limit=_SHOWN_EVENTS),
    )


def _operation_id(request: Request) -> str:
    presented = query_parameters(request).get("add") or ""
    return presented if account_passkeys.is_operation_id(presented) else ""


def _client_ids(owned: Owned) -> Iterable[str]:
    asked = [one.client_id for one in owned.connections]
    asked += [one.client_id for one in owned.events if one.client_id is not None]
    return dict.fromkeys(asked)
