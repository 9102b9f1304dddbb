from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from idp import opaque_token
from idp.notifications.outbox import enqueue_logout_token
from idp.settings import Sessions
from idp.storage import browser_sessions, grants, session_apps
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Transaction

MAX_USER_AGENT_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Authentication:
    """How a person proved who they are: facts, as the ceremony established them.

    `amr` holds RFC 8176 values; `acr` is one of those in the metadata.
    """

    account_id: str
    account_epoch: int
    credential_id: bytes | None
    amr: tuple[str, ...]
    acr: str


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A new session and the value of its cookie, which is stored nowhere."""

    session: BrowserSession
    cookie_token: str


async def start(
    tx: Transaction,
    authentication: Authentication,
    *,
    lifetimes: Sessions,
    user_agent: str,
    address: str,
    now: datetime,
    previous: BrowserSession | None = None,
) -> StartedSession:
    """Sign a browser in: always under a new cookie value, whatever it held before.

    `previous` is the session that the browser still has. The same person's goes on, so that proving oneself
    again to one app signs nobody out of the others; another person's ends.
    """
    cookie_token = opaque_token.new_token()
    session = BrowserSession(
        id=opaque_token.new_identifier(),
        cookie_sha256=opaque_token.sha256(cookie_token),
        account_id=authentication.account_id,
        account_epoch=authentication.account_epoch,
        credential_id=authentication.credential_id,
        auth_time=now.replace(microsecond=0),
        amr=list(authentication.amr),
        acr=authentication.acr,
        user_agent=user_agent[:MAX_USER_AGENT_LENGTH],
        address=address,
        created_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(seconds=lifetimes.absolute_lifetime_seconds),
    )
    if previous and previous.account_id == session.account_id:
        renewed = await browser_sessions.renew(tx, replace(session, id=previous.id))
        if renewed:
            return StartedSession(session=renewed, cookie_token=cookie_token)
    elif previous:
        await end(tx, previous, now=now)
    await browser_sessions.insert(tx, session)
    return StartedSession(session=session, cookie_token=cookie_token)


async def end(tx: Transaction, session: BrowserSession, *, now: datetime) -> bool:
    """Sign a browser out, end the grants that live only as long as its session, and write to its apps.

    False when it was over.
    """
    if not await browser_sessions.end(tx, session_id=session.id, account_id=session.account_id, now=now):
        return False
    # After the session's row is held: a grant being made meanwhile is either seen here or refused.
    await grants.revoke_of_session(tx, session_id=session.id, now=now)
    await _tell_apps(tx, [session.id], account_id=session.account_id, now=now)
    return True


async def end_all(tx: Transaction, *, account_id: str, now: datetime) -> list[str]:
    """End every session of an account, which whoever raises its epoch owes to the apps; answer which ended.

    The epoch alone ends the grants, also those that are being made meanwhile.
    """
    ended = await browser_sessions.end_all(tx, account_id=account_id, now=now)
    await _tell_apps(tx, ended, account_id=account_id, now=now)
    return ended


async def _tell_apps(tx: Transaction, session_ids: Sequence[str], *, account_id: str, now: datetime) -> None:
    """Write one logout token for each app of each session; the outbox sends them after the commit."""
    for app in await session_apps.of_sessions(tx, session_ids=session_ids):
        if app.backchannel_logout_uri is not None and app.message_id is None:
            await enqueue_logout_token(
                tx, client_id=app.client_id, account_id=account_id, session_id=app.session_id, now=now
            )
