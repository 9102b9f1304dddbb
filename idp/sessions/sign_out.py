"""What became of the apps when sessions ended, and the page that says so after the session is gone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from idp import opaque_token
from idp.storage import session_apps, sign_outs
from idp.storage.database import Transaction
from idp.storage.session_apps import SessionApp
from idp.storage.sign_outs import SignOut

PAGE = "/signed-out"
LIFETIME = timedelta(hours=1)
"""How long a browser may ask how its signing out goes."""
DELIVERED = "delivered"
"""The outcome of a message that its recipient took."""


class AppState(Enum):
    """How far an app has been told that a session is over, the worst last."""

    CONFIRMED = "confirmed"
    ASKED = "asked"
    PENDING = "pending"
    FAILED = "failed"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class ToldApp:
    """An app and how far it has been told; of several sessions the worst counts."""

    client_id: str
    name: str
    state: AppState


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """Where the app that asked for it wants the browser back. `is_automatic`: it proved that it may ask."""

    client_id: str
    uri: str
    is_automatic: bool


async def next_address(
    tx: Transaction,
    *,
    browser_sha256: bytes,
    session_id: str,
    ended_session_ids: Sequence[str],
    return_path: ReturnPath | None = None,
    now: datetime,
) -> str:
    """Answer where the browser goes after signing out.

    Straight back to the app that asked for it and proved that it may, unless the browser itself must tell
    apps first; else to a page that only this browser can open.
    """
    apps = await session_apps.of_sessions(tx, session_ids=ended_session_ids)
    if return_path and return_path.is_automatic and not has_frames(apps, session_id=session_id):
        return return_path.uri
    if not apps and return_path is None:
        return PAGE
    reference = opaque_token.new_identifier()
    await sign_outs.insert(
        tx,
        SignOut(
            id=reference,
            browser_sha256=browser_sha256,
            session_id=session_id,
            ended_session_ids=list(ended_session_ids),
            client_id=return_path.client_id if return_path else None,
            return_uri=return_path.uri if return_path else None,
            returns_by_itself=return_path is not None and return_path.is_automatic,
            created_at=now,
            expires_at=now + LIFETIME,
        ),
    )
    return page_of(reference)


def page_of(reference: str) -> str:
    """Answer the address of the page that says how a sign-out goes."""
    return f"{PAGE}?of={reference}"


def has_frames(apps: Iterable[SessionApp], *, session_id: str) -> bool:
    """Whether an app of this browser's own session wants to be told by the browser."""
    return any(app.session_id == session_id and app.frontchannel_logout_uri for app in apps)


def told_apps(apps: Iterable[SessionApp], *, asked_session_id: str | None = None) -> list[ToldApp]:
    """Say of each app how far it has been told.

    `asked_session_id` is the session whose browser asked the apps that take the front channel.
    """
    told: dict[str, ToldApp] = {}
    for app in apps:
        state = _state(app, is_asked=app.session_id == asked_session_id)
        known = told.get(app.client_id)
        if known is None or _ORDER.index(known.state) < _ORDER.index(state):
            told[app.client_id] = ToldApp(client_id=app.client_id, name=app.client_name, state=state)
    return list(told.values())


_ORDER = list(AppState)


def _state(app: SessionApp, *, is_asked: bool) -> AppState:
    if app.message_id is not None and app.told_at is None:
        return AppState.PENDING
    if app.message_id is not None and app.outcome == DELIVERED:
        return AppState.CONFIRMED
    if is_asked and app.frontchannel_logout_uri is not None:
        return AppState.ASKED
    return AppState.FAILED if app.message_id is not None else AppState.CANNOT
