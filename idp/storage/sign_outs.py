"""Sign-outs: what the page that a browser sees after signing out must still know of it."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import sign_outs


@dataclass(frozen=True, slots=True)
class SignOut:
    """One row of `sign_outs`. `session_id` was this browser's; others may have been ended with it."""

    id: str
    browser_sha256: bytes
    session_id: str
    ended_session_ids: list[str]
    client_id: str | None
    return_uri: str | None
    returns_by_itself: bool
    created_at: datetime
    expires_at: datetime
    shown_at: datetime | None = None


_COLUMNS = tuple(sign_outs.c[field.name] for field in fields(SignOut))


async def insert(tx: Transaction, sign_out: SignOut) -> None:
    """Remember a sign-out."""
    values = {field.name: getattr(sign_out, field.name) for field in fields(SignOut)}
    await tx.execute(sa.insert(sign_outs).values(values))


async def find(tx: Transaction, *, sign_out_id: str, browser_sha256: bytes, now: datetime) -> SignOut | None:
    """Read a sign-out of this browser; None for another's, and for one of long ago."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(
            sign_outs.c.id == sign_out_id,
            sign_outs.c.browser_sha256 == browser_sha256,
            sign_outs.c.expires_at > now,
        )
    )
    row = result.one_or_none()
    return SignOut(*row) if row else None


async def show(tx: Transaction, *, sign_out_id: str, now: datetime) -> bool:
    """Take the one showing in which the browser itself tells apps; False when that was before."""
    result = await tx.execute(
        sa.update(sign_outs)
        .where(sign_outs.c.id == sign_out_id, sign_outs.c.shown_at.is_(None))
        .values(shown_at=now)
    )
    return result.rowcount == 1


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete sign-outs that expired before `before`; answer how many went."""
    doomed = sa.select(sign_outs.c.id).where(sign_outs.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(sign_outs).where(sign_outs.c.id.in_(doomed)))
    return result.rowcount
