"""Enrolments: the one-time right to give an account a passkey without being signed in."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import accounts, enrolments


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One row of `enrolments`. `browser_sha256` None: any browser may use it (a link)."""

    token_sha256: bytes
    kind: str
    account_id: str
    browser_sha256: bytes | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


_COLUMNS = tuple(enrolments.c[field.name] for field in fields(Enrolment))


async def insert(
    tx: Transaction,
    *,
    token_sha256: bytes,
    kind: str,
    account_id: str,
    browser_sha256: bytes | None,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Remember a new right to enrol."""
    await tx.execute(
        sa.insert(enrolments).values(
            token_sha256=token_sha256,
            kind=kind,
            account_id=account_id,
            browser_sha256=browser_sha256,
            created_at=now,
            expires_at=expires_at,
        )
    )


async def peek(tx: Transaction, *, token_sha256: bytes, now: datetime) -> Enrolment | None:
    """Read an unused enrolment, without using it."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(
            enrolments.c.token_sha256 == token_sha256,
            enrolments.c.used_at.is_(None),
            enrolments.c.expires_at > now,
        )
    )
    row = result.one_or_none()
    return Enrolment(*row) if row else None


async def use(tx: Transaction, *, token_sha256: bytes, now: datetime) -> Enrolment | None:
    """Use an enrolment once; None when it is unknown, used or expired."""
    result = await tx.execute(
        sa.update(enrolments)
        .where(
            enrolments.c.token_sha256 == token_sha256,
            enrolments.c.used_at.is_(None),
            enrolments.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Enrolment(*row) if row else None


async def end_all_of_kind(tx: Transaction, *, kind: str, now: datetime) -> int:
    """End every unused enrolment of one kind; answer how many."""
    result = await tx.execute(
        sa.update(enrolments)
        .where(enrolments.c.kind == kind, enrolments.c.used_at.is_(None))
        .values(used_at=now)
    )
    return result.rowcount


async def end_of_account(tx: Transaction, *, account_id: str, now: datetime) -> int:
    """End every unused enrolment of one account; answer how many."""
    result = await tx.execute(
        sa.update(enrolments)
        .where(enrolments.c.account_id == account_id, enrolments.c.used_at.is_(None))
        .values(used_at=now)
    )
    return result.rowcount


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete enrolments that expired before `before`; answer how many went."""
    doomed = sa.select(enrolments.c.token_sha256).where(enrolments.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(enrolments).where(enrolments.c.token_sha256.in_(doomed)))
    return result.rowcount


async def lock_first_administrator(tx: Transaction) -> None:
    """Let one set-up at a time decide whether there is an administrator already."""
    # An advisory lock: there may be no row to lock yet. SQLite's BEGIN IMMEDIATE already queues writers.
    if tx.dialect.name == "postgresql":
        await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(0x1D9_0001)))


async def account_is_pending(tx: Transaction, *, account_id: str) -> bool:
    """Whether the account still waits for its first passkey."""
    result = await tx.execute(sa.select(accounts.c.status).where(accounts.c.id == account_id))
    return result.scalar_one_or_none() == "pending"
