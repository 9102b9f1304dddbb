"""Accounts whose people asked for deletion, until the day comes or they think again."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction, insert_if_new
from idp.storage.tables import account_deletions


@dataclass(frozen=True, slots=True)
class AccountDeletion:
    """One row of `account_deletions`."""

    account_id: str
    requested_at: datetime
    due_at: datetime


_COLUMNS = tuple(account_deletions.c[field.name] for field in fields(AccountDeletion))


async def insert(tx: Transaction, deletion: AccountDeletion) -> bool:
    """Plan an account's deletion; False when it is planned already."""
    values = {field.name: getattr(deletion, field.name) for field in fields(AccountDeletion)}
    return await insert_if_new(tx, account_deletions, values)


async def find(tx: Transaction, *, account_id: str) -> AccountDeletion | None:
    """Read when an account will be deleted."""
    result = await tx.execute(sa.select(*_COLUMNS).where(account_deletions.c.account_id == account_id))
    row = result.one_or_none()
    return AccountDeletion(*row) if row else None


async def cancel(tx: Transaction, *, account_id: str) -> bool:
    """Forget a planned deletion; False when there is none."""
    result = await tx.execute(
        sa.delete(account_deletions).where(account_deletions.c.account_id == account_id)
    )
    return result.rowcount == 1


async def due(tx: Transaction, *, now: datetime, limit: int) -> list[str]:
    """Name accounts whose day has come."""
    result = await tx.execute(
        sa.select(account_deletions.c.account_id)
        .where(account_deletions.c.due_at <= now)
        .order_by(account_deletions.c.due_at)
        .limit(limit)
    )
    return list(result.scalars())


async def take_due(tx: Transaction, *, account_id: str, now: datetime) -> bool:
    """Take a deletion that is due, once; False when it was cancelled or another node was first."""
    result = await tx.execute(
        sa.delete(account_deletions).where(
            account_deletions.c.account_id == account_id, account_deletions.c.due_at <= now
        )
    )
    return result.rowcount == 1
