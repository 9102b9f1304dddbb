"""The audit log's rows; `idp/audit.py` says what is recorded."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import audit_log


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of `audit_log`."""

    id: int
    at: datetime
    event: str
    outcome: str
    reason: str | None
    actor: str | None
    account_id: str | None
    client_id: str | None
    address: str | None
    request_id: str | None
    details: dict[str, object]


_COLUMNS = tuple(audit_log.c[field.name] for field in fields(AuditRow))


async def insert(
    tx: Transaction,
    *,
    at: datetime,
    event: str,
    outcome: str,
    reason: str | None,
    actor: str | None,
    account_id: str | None,
    client_id: str | None,
    address: str | None,
    request_id: str | None,
    details: dict[str, object],
) -> None:
    """Remember one event."""
    await tx.execute(
        sa.insert(audit_log).values(
            at=at,
            event=event,
            outcome=outcome,
            reason=reason,
            actor=actor,
            account_id=account_id,
            client_id=client_id,
            address=address,
            request_id=request_id,
            details=details,
        )
    )


async def of_account(tx: Transaction, *, account_id: str, limit: int) -> list[AuditRow]:
    """List what happened to an account, the newest first."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .where(audit_log.c.account_id == account_id)
        .order_by(audit_log.c.id.desc())
        .limit(limit)
    )
    return [AuditRow(*row) for row in result]


async def after(tx: Transaction, *, row_id: int, limit: int) -> list[AuditRow]:
    """List events behind `row_id`, the oldest first."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(audit_log.c.id > row_id).order_by(audit_log.c.id).limit(limit)
    )
    return [AuditRow(*row) for row in result]
