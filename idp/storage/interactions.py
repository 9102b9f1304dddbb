"""Authorization requests that wait for a person: validated, bound to one browser, answered once."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import interactions


@dataclass(frozen=True, slots=True)
class Interaction:
    """One row of `interactions`; `parameters` are the request's own, as it was received."""

    id: str
    browser_sha256: bytes
    client_id: str
    parameters: dict[str, str]
    created_at: datetime
    expires_at: datetime
    consented_at: datetime | None = None
    consented_by: str | None = None
    denied_at: datetime | None = None
    used_at: datetime | None = None


_COLUMNS = tuple(interactions.c[field.name] for field in fields(Interaction))


async def insert(tx: Transaction, interaction: Interaction) -> None:
    """Remember a request that waits."""
    values = {field.name: getattr(interaction, field.name) for field in fields(Interaction)}
    await tx.execute(sa.insert(interactions).values(values))


async def find(tx: Transaction, *, interaction_id: str, browser_sha256: bytes) -> Interaction | None:
    """Read a request of this browser, whatever became of it."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(
            interactions.c.id == interaction_id, interactions.c.browser_sha256 == browser_sha256
        )
    )
    row = result.one_or_none()
    return Interaction(*row) if row else None


async def record_consent(
    tx: Transaction, *, interaction_id: str, browser_sha256: bytes, account_id: str, now: datetime
) -> bool:
    """Remember that this person said yes; False when the request is over or another browser's."""
    result = await tx.execute(
        sa.update(interactions)
        .where(*_is_waiting(interaction_id, browser_sha256, now))
        .values(consented_at=now, consented_by=account_id)
    )
    return result.rowcount == 1


async def record_denial(
    tx: Transaction, *, interaction_id: str, browser_sha256: bytes, now: datetime
) -> bool:
    """Remember that the person said no; False when the request is over or another browser's."""
    result = await tx.execute(
        sa.update(interactions).where(*_is_waiting(interaction_id, browser_sha256, now)).values(denied_at=now)
    )
    return result.rowcount == 1


async def use(tx: Transaction, *, interaction_id: str, browser_sha256: bytes, now: datetime) -> bool:
    """Answer a waiting request once; False when it is over or another browser's."""
    result = await tx.execute(
        sa.update(interactions).where(*_is_waiting(interaction_id, browser_sha256, now)).values(used_at=now)
    )
    return result.rowcount == 1


async def rebind(tx: Transaction, *, old_browser_sha256: bytes, new_browser_sha256: bytes) -> None:
    """Carry a browser's requests over to the new value of its cookie (sign-in changes it)."""
    await tx.execute(
        sa.update(interactions)
        .where(interactions.c.browser_sha256 == old_browser_sha256)
        .values(browser_sha256=new_browser_sha256)
    )


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete requests that expired before `before`; answer how many went."""
    doomed = sa.select(interactions.c.id).where(interactions.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(interactions).where(interactions.c.id.in_(doomed)))
    return result.rowcount


def _is_waiting(
    interaction_id: str, browser_sha256: bytes, now: datetime
) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        interactions.c.id == interaction_id,
        interactions.c.browser_sha256 == browser_sha256,
        interactions.c.used_at.is_(None),
        interactions.c.expires_at > now,
    )
