from dataclasses import dataclass
from datetime import datetime, timedelta

from idp import opaque_token
from idp.settings import Sessions
from idp.storage import browser_sessions, grants
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
) -> StartedSession:
    """Sign a browser in: always a new id and a new cookie value, whatever it held before."""
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
    await browser_sessions.insert(tx, session)
    return StartedSession(session=session, cookie_token=cookie_token)


async def end(tx: Transaction, session: BrowserSession, *, now: datetime) -> bool:
    """Sign a browser out and end the grants that live only as long as its session; False when it was over."""
    ended = await browser_sessions.end(tx, session_id=session.id, account_id=session.account_id, now=now)
    # After the session's row is held: a grant being made meanwhile is either seen here or refused.
    await grants.revoke_of_session(tx, session_id=session.id, now=now)
    return ended
