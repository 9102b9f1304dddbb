"""What the account page shows of each thing, in plain words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from idp import opaque_token
from idp.accounts import activity, moment, user_agent
from idp.accounts.moment import Moment
from idp.sessions import sign_out
from idp.storage.audit_log import AuditRow
from idp.storage.browser_sessions import BrowserSession
from idp.storage.connections import Connection
from idp.storage.credentials import Credential
from idp.storage.email_addresses import EmailAddress
from idp.storage.session_apps import SessionApp

_UNKNOWN_APP = "An app that is no longer registered"
_SCOPES = {
    "openid": "Know that it is you",
    "profile": "See your name and profile, such as picture, birthday and language",
    "email": "See your e-mail address",
    "address": "See your postal address",
    "phone": "See your phone number",
    "offline_access": "Stay connected while you are away",
}


@dataclass(frozen=True, slots=True)
class PasskeyView:
    """One of the person's passkeys."""

    id: str
    name: str
    is_current: bool
    is_synced: bool
    is_suspect: bool
    added: Moment
    last_used: Moment | None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One of the browsers in which the person is signed in."""

    id: str
    device: str
    address: str
    is_current: bool
    started: Moment
    last_seen: Moment


@dataclass(frozen=True, slots=True)
class EndedSessionView:
    """A browser that was signed out lately, with the apps that it was used for."""

    device: str
    ended: Moment
    apps: list["ToldAppView"]


@dataclass(frozen=True, slots=True)
class ToldAppView:
    """An app, and how far it has been told that a session is over."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class AppView:
    """One of the apps that may use the account."""

    client_id: str
    name: str
    scopes: list[str]
    since: Moment
    last_used: Moment


@dataclass(frozen=True, slots=True)
class EmailView:
    """One of the person's addresses."""

    id: str
    address: str
    is_verified: bool
    is_primary: bool


@dataclass(frozen=True, slots=True)
class EventView:
    """One thing that happened."""

    text: str
    app_name: str | None
    is_failure: bool
    at: Moment
    address: str | None


def passkey(credential: Credential, *, session: BrowserSession, now: datetime) -> PasskeyView:
    """Describe a passkey; WebAuthn L3 §6.1.3: one that may be backed up is synced, the others are not."""
    used_at = credential.last_used_at
    return PasskeyView(
        id=opaque_token.encode(credential.id),
        name=credential.name,
        is_current=credential.id == session.credential_id,
        is_synced=credential.backup_eligible,
        is_suspect=credential.suspected_clone_at is not None,
        added=moment.describe(credential.created_at, now=now),
        last_used=moment.describe(used_at, now=now) if used_at else None,
    )


def session(shown: BrowserSession, *, current: BrowserSession, now: datetime) -> SessionView:
    """Describe a browser session."""
    return SessionView(
        id=shown.id,
        device=user_agent.describe(shown.user_agent),
        address=shown.address,
        is_current=shown.id == current.id,
        started=moment.describe(shown.created_at, now=now),
        last_seen=moment.describe(shown.last_seen_at, now=now),
    )


def ended_session(shown: BrowserSession, *, apps: Iterable[SessionApp], now: datetime) -> EndedSessionView:
    """Describe a session that is over."""
    told = sign_out.told_apps(app for app in apps if app.session_id == shown.id)
    return EndedSessionView(
        device=user_agent.describe(shown.user_agent),
        ended=moment.describe(shown.ended_at or now, now=now),
        apps=[ToldAppView(name=app.name, state=app.state.value) for app in told],
    )


def app(connection: Connection, *, names: Mapping[str, str], now: datetime) -> AppView:
    """Describe what an app may do."""
    return AppView(
        client_id=connection.client_id,
        name=names.get(connection.client_id, _UNKNOWN_APP),
        scopes=[_SCOPES.get(scope, scope) for scope in connection.scopes],
        since=moment.describe(connection.created_at, now=now),
        last_used=moment.describe(connection.last_used_at, now=now),
    )


def email(address: EmailAddress) -> EmailView:
    """Describe an address."""
    return EmailView(
        id=address.id,
        address=address.address,
        is_verified=address.verified_at is not None,
        is_primary=address.is_primary,
    )


def event(row: AuditRow, *, names: Mapping[str, str], now: datetime) -> EventView:
    """Describe an event."""
    is_failure = row.outcome == "failure"
    return EventView(
        text=activity.describe(row.event, is_failure=is_failure),
        app_name=names.get(row.client_id) if row.client_id else None,
        is_failure=is_failure,
        at=moment.describe(row.at, now=now),
        address=row.address,
    )
