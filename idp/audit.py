"""Security events: one row in the transaction of what they tell, and one line in the log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import structlog

from idp import metrics
from idp.request_context import request_context
from idp.storage import audit_log
from idp.storage.database import Transaction

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.audit")


async def record(
    tx: Transaction,
    event: str,
    *,
    now: datetime,
    outcome: Literal["success", "failure"] = "success",
    reason: str | None = None,
    actor: str | None = None,
    account_id: str | None = None,
    client_id: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Record one event: who did what to whom, from where, and how it ended.

    `event` and `reason` are fixed words, never sentences. `actor` None: the account itself, or nobody known.
    Nothing secret may be in `details`.
    """
    context = request_context.get()
    await audit_log.insert(
        tx,
        at=now,
        event=event,
        outcome=outcome,
        reason=reason,
        actor=actor,
        account_id=account_id,
        client_id=client_id,
        address=context.address if context else None,
        request_id=context.request_id if context else None,
        details=dict(details or {}),
    )
    metrics.count_event(event, outcome=outcome, reason=reason)
    log.info(
        event,
        outcome=outcome,
        reason=reason,
        actor=actor,
        account_id=account_id,
        client_id=client_id,
        **(details or {}),
    )
