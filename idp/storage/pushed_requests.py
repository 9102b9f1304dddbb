"""Pushed authorization requests (RFC 9126): stored by the digest of their reference, used once."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import pushed_requests


@dataclass(frozen=True, slots=True)
class PushedRequest:
    """One row of `pushed_requests`."""

    reference_sha256: bytes
    client_id: str
    parameters: dict[str, str]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


_COLUMNS = tuple(pushed_requests.c[field.name] for field in fields(PushedRequest))


async def insert(tx: Transaction, request: PushedRequest) -> None:
    """Remember a request."""
    values = {field.name: getattr(request, field.name) for field in fields(PushedRequest)}
    await tx.execute(sa.insert(pushed_requests).values(values))


async def use(
    tx: Transaction, *, reference_sha256: bytes, presenting_client: str, now: datetime
) -> PushedRequest | None:
    """Use a request once, for its own client; None when it is unknown, another's, used or expired."""
    result = await tx.execute(
        sa.update(pushed_requests)
        .where(
            pushed_requests.c.reference_sha256 == reference_sha256,
            pushed_requests.c.client_id == presenting_client,
            pushed_requests.c.used_at.is_(None),
            pushed_requests.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return PushedRequest(*row) if row else None


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete requests that expired before `before`; answer how many went."""
    doomed = (
        sa.select(pushed_requests.c.reference_sha256)
        .where(pushed_requests.c.expires_at < before)
        .limit(limit)
    )
    result = await tx.execute(
        sa.delete(pushed_requests).where(pushed_requests.c.reference_sha256.in_(doomed))
    )
    return result.rowcount
