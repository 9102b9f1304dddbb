"""Operations that wait for a passkey's confirmation, and the receipts of those that got it."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import confirmation_receipts, confirmations


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One row of `confirmations`. `operation` is its canonical spelling, `address` where it is executed."""

    id: str
    kind: str
    account_id: str
    session_id: str
    operation: bytes
    challenge: bytes
    address: str
    created_at: datetime
    expires_at: datetime
    answered_at: datetime | None = None
    confirmed_at: datetime | None = None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """One row of `confirmation_receipts`: all that it takes to verify a confirmation again, by itself."""

    id: str
    account_id: str
    operation: bytes
    credential_id: bytes
    public_key: bytes
    rp_id: str
    origins: list[str]
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes
    confirmed_at: datetime


_COLUMNS = tuple(confirmations.c[field.name] for field in fields(Confirmation))
_RECEIPT_COLUMNS = tuple(confirmation_receipts.c[field.name] for field in fields(Receipt))


async def insert(tx: Transaction, confirmation: Confirmation) -> None:
    """Remember an operation that waits to be confirmed."""
    values = {field.name: getattr(confirmation, field.name) for field in fields(Confirmation)}
    await tx.execute(sa.insert(confirmations).values(values))


async def find_open(
    tx: Transaction, *, confirmation_id: str, account_id: str, session_id: str, now: datetime
) -> Confirmation | None:
    """Read an operation that nobody has answered yet, of this session alone."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(
            confirmations.c.id == confirmation_id,
            confirmations.c.account_id == account_id,
            confirmations.c.session_id == session_id,
            confirmations.c.answered_at.is_(None),
            confirmations.c.expires_at > now,
        )
    )
    row = result.one_or_none()
    return Confirmation(*row) if row else None


async def answer(
    tx: Transaction, *, confirmation_id: str, account_id: str, session_id: str, now: datetime
) -> Confirmation | None:
    """Use up the one answer that an operation takes; None when it was answered, expired or is another's."""
    result = await tx.execute(
        sa.update(confirmations)
        .where(
            confirmations.c.id == confirmation_id,
            confirmations.c.account_id == account_id,
            confirmations.c.session_id == session_id,
            confirmations.c.answered_at.is_(None),
            confirmations.c.expires_at > now,
        )
        .values(answered_at=now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Confirmation(*row) if row else None


async def confirm(tx: Transaction, receipt: Receipt) -> None:
    """Remember that the answer was right, and what proves it."""
    await tx.execute(
        sa.update(confirmations)
        .where(confirmations.c.id == receipt.id)
        .values(confirmed_at=receipt.confirmed_at)
    )
    values = {field.name: getattr(receipt, field.name) for field in fields(Receipt)}
    await tx.execute(sa.insert(confirmation_receipts).values(values))


async def use(
    tx: Transaction, *, confirmation_id: str, kind: str, account_id: str, session_id: str, now: datetime
) -> Confirmation | None:
    """Use a confirmed operation once, for what it is; None when it is not confirmed, used or expired."""
    result = await tx.execute(
        sa.update(confirmations)
        .where(
            confirmations.c.id == confirmation_id,
            confirmations.c.kind == kind,
            confirmations.c.account_id == account_id,
            confirmations.c.session_id == session_id,
            confirmations.c.confirmed_at.is_not(None),
            confirmations.c.used_at.is_(None),
            confirmations.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Confirmation(*row) if row else None


async def find_confirmed(
    tx: Transaction, *, confirmation_id: str, account_id: str, session_id: str, now: datetime
) -> Confirmation | None:
    """Read a confirmed operation that waits for its execution, of this session alone."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(
            confirmations.c.id == confirmation_id,
            confirmations.c.account_id == account_id,
            confirmations.c.session_id == session_id,
            confirmations.c.confirmed_at.is_not(None),
            confirmations.c.used_at.is_(None),
            confirmations.c.expires_at > now,
        )
    )
    row = result.one_or_none()
    return Confirmation(*row) if row else None


async def was_confirmed_since(tx: Transaction, *, account_id: str, session_id: str, since: datetime) -> bool:
    """Whether this session confirmed anything since then."""
    result = await tx.execute(
        sa.select(sa.literal(1))
        .where(
            confirmations.c.account_id == account_id,
            confirmations.c.session_id == session_id,
            confirmations.c.confirmed_at >= since,
        )
        .limit(1)
    )
    return result.one_or_none() is not None


async def find_receipt(tx: Transaction, *, receipt_id: str) -> Receipt | None:
    """Read the receipt of a confirmation."""
    result = await tx.execute(sa.select(*_RECEIPT_COLUMNS).where(confirmation_receipts.c.id == receipt_id))
    row = result.one_or_none()
    return Receipt(*row) if row else None


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete operations that expired before `before`, never receipts; answer how many went."""
    doomed = sa.select(confirmations.c.id).where(confirmations.c.expires_at < before).limit(limit)
    result = await tx.execute(sa.delete(confirmations).where(confirmations.c.id.in_(doomed)))
    return result.rowcount
