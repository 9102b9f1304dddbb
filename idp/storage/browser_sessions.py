"""Browser sessions at the provider: server-side rows; the cookie holds a token whose digest is here."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.prepared import Lane, Prepared, first_row
from idp.storage.tables import accounts, browser_sessions


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """One row of `browser_sessions`. `id` is the public `sid`; the cookie's value is never stored."""

    id: str
    cookie_sha256: bytes
    account_id: str
    account_epoch: int
    credential_id: bytes | None
    auth_time: datetime
    amr: list[str]
    acr: str
    user_agent: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


_COLUMNS = tuple(browser_sessions.c[field.name] for field in fields(BrowserSession))
_INSTANT = browser_sessions.c.expires_at.type

_find_live = Prepared(
    sa.select(*_COLUMNS)
    .join(accounts, accounts.c.id == browser_sessions.c.account_id)
    .where(
        browser_sessions.c.cookie_sha256 == sa.bindparam("cookie_sha256", type_=sa.LargeBinary),
        browser_sessions.c.ended_at.is_(None),
        browser_sessions.c.expires_at > sa.bindparam("now", type_=_INSTANT),
        browser_sessions.c.last_seen_at > sa.bindparam("idle_since", type_=_INSTANT),
        accounts.c.status == "active",
        accounts.c.token_epoch == browser_sessions.c.account_epoch,
    )
)


async def insert(tx: Transaction, session: BrowserSession) -> None:
    """Remember a new session."""
    values = {field.name: getattr(session, field.name) for field in fields(BrowserSession)}
    await tx.execute(sa.insert(browser_sessions).values(values))


async def find_live(
    lane: Lane, *, cookie_sha256: bytes, idle_since: datetime, now: datetime
) -> BrowserSession | None:
    """Read the session behind a cookie: not ended, not expired, seen since `idle_since`, epoch not behind."""
    parameters = {"cookie_sha256": cookie_sha256, "idle_since": idle_since, "now": now}
    row = await first_row(lane, _find_live, parameters)
    return BrowserSession(*row) if row else None


async def touch(tx: Transaction, *, session_id: str, now: datetime) -> None:
    """Remember that the session was seen."""
    await tx.execute(
        sa.update(browser_sessions).where(browser_sessions.c.id == session_id).values(last_seen_at=now)
    )


async def end(tx: Transaction, *, session_id: str, account_id: str, now: datetime) -> bool:
    """End a session of this account; False when it was already over, or another's."""
    result = await tx.execute(
        sa.update(browser_sessions)
        .where(
            browser_sessions.c.id == session_id,
            browser_sessions.c.account_id == account_id,
            browser_sessions.c.ended_at.is_(None),
        )
        .values(ended_at=now)
    )
    return result.rowcount == 1


async def end_all(tx: Transaction, *, account_id: str, now: datetime) -> list[str]:
    """End every session of an account that is not over; answer which."""
    result = await tx.execute(
        sa.update(browser_sessions)
        .where(browser_sessions.c.account_id == account_id, browser_sessions.c.ended_at.is_(None))
        .values(ended_at=now)
        .returning(browser_sessions.c.id)
    )
    return sorted(result.scalars())


async def renew(tx: Transaction, session: BrowserSession) -> BrowserSession | None:
    """Put what a new sign-in established into a session that is not over; None when it is.

    Its id and its beginning stay: for the apps it is the same session.
    """
    kept = {"id", "account_id", "created_at", "ended_at"}
    values = {field.name: getattr(session, field.name) for field in fields(session) if field.name not in kept}
    result = await tx.execute(
        sa.update(browser_sessions)
        .where(
            browser_sessions.c.id == session.id,
            browser_sessions.c.account_id == session.account_id,
            browser_sessions.c.ended_at.is_(None),
        )
        .values(values)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return BrowserSession(*row) if row else None


async def ended_of_account(
    tx: Transaction, *, account_id: str, since: datetime, limit: int
) -> list[BrowserSession]:
    """List the account's sessions that were ended after `since`, the latest first."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .where(browser_sessions.c.account_id == account_id, browser_sessions.c.ended_at > since)
        .order_by(browser_sessions.c.ended_at.desc(), browser_sessions.c.id)
        .limit(limit)
    )
    return [BrowserSession(*row) for row in result]


async def live_of_account(
    tx: Transaction, *, account_id: str, idle_since: datetime, now: datetime
) -> list[BrowserSession]:
    """List an account's sessions that are not over, the last seen first."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .join(accounts, accounts.c.id == browser_sessions.c.account_id)
        .where(
            browser_sessions.c.account_id == account_id,
            browser_sessions.c.ended_at.is_(None),
            browser_sessions.c.expires_at > now,
            browser_sessions.c.last_seen_at > idle_since,
            accounts.c.token_epoch == browser_sessions.c.account_epoch,
        )
        .order_by(browser_sessions.c.last_seen_at.desc(), browser_sessions.c.id)
    )
    return [BrowserSession(*row) for row in result]


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete sessions that expired before `before`; answer how many went."""
    doomed = sa.select(browser_sessions.c.id).where(browser_sessions.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(browser_sessions).where(browser_sessions.c.id.in_(doomed)))
    return result.rowcount
