"""The outbox: messages written in the transaction of what they tell, sent afterwards until done."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import outbox


@dataclass(frozen=True, slots=True)
class Message:
    """One row of `outbox`. `next_attempt_at` also serves as the lease of the node that is sending it.

    A logout token names its account and session in the open; whatever else a message says is sealed.
    """

    id: str
    kind: str
    recipient: str
    payload_encrypted: bytes | None
    account_id: str | None
    session_id: str | None
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    done_at: datetime | None
    outcome: str | None


_COLUMNS = tuple(outbox.c[field.name] for field in fields(Message))


async def insert(
    tx: Transaction,
    *,
    message_id: str,
    kind: str,
    recipient: str,
    payload_encrypted: bytes | None,
    account_id: str | None = None,
    session_id: str | None = None,
    now: datetime,
) -> None:
    """Remember a message to send."""
    await tx.execute(
        sa.insert(outbox).values(
            id=message_id,
            kind=kind,
            recipient=recipient,
            payload_encrypted=payload_encrypted,
            account_id=account_id,
            session_id=session_id,
            attempts=0,
            created_at=now,
            next_attempt_at=now,
        )
    )


async def lease(
    tx: Transaction, *, kinds: Collection[str], until: datetime, limit: int, now: datetime
) -> list[Message]:
    """Take waiting messages of these kinds that are due, for this node alone until `until`."""
    due = (
        sa.select(outbox.c.id)
        .where(outbox.c.done_at.is_(None), outbox.c.next_attempt_at <= now, outbox.c.kind.in_(kinds))
        # The new before the old: many to somebody who does not answer hold up nobody's first attempt.
        .order_by(outbox.c.attempts, outbox.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        # A CTE that locks is run once; PostgreSQL may run a plain subquery again, past its limit.
        .cte("due")
    )
    result = await tx.execute(
        sa.update(outbox)
        .where(outbox.c.id.in_(sa.select(due.c.id)))
        .values(next_attempt_at=until, attempts=outbox.c.attempts + 1)
        .returning(*_COLUMNS)
    )
    return [Message(*row) for row in result]


async def finish(tx: Transaction, *, message_id: str, outcome: str, now: datetime) -> None:
    """Nothing more is to be done: it was delivered, or given up."""
    await tx.execute(
        sa.update(outbox)
        .where(outbox.c.id == message_id, outbox.c.done_at.is_(None))
        .values(done_at=now, outcome=outcome)
    )


async def retry_at(
    tx: Transaction, *, message_id: str, attempt: int, next_attempt_at: datetime, outcome: str
) -> None:
    """It could not be sent; try again later. Nothing changes when a later attempt holds the lease by now."""
    await tx.execute(
        sa.update(outbox)
        .where(outbox.c.id == message_id, outbox.c.done_at.is_(None), outbox.c.attempts == attempt)
        .values(next_attempt_at=next_attempt_at, outcome=outcome)
    )


async def count_recent(tx: Transaction, *, kind: str, recipient: str, since: datetime) -> int:
    """Count the messages of one kind to one recipient since then, sent or not."""
    result = await tx.execute(
        sa.select(sa.func.count()).where(
            outbox.c.kind == kind, outbox.c.recipient == recipient, outbox.c.created_at > since
        )
    )
    return result.scalar_one()


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete messages that were done before `before`; answer how many went."""
    doomed = sa.select(outbox.c.id).where(outbox.c.done_at < before).limit(limit)
    result = await tx.execute(sa.delete(outbox).where(outbox.c.id.in_(doomed)))
    return result.rowcount
