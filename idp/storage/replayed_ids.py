"""Identifiers that were seen and must not be accepted again: one statement each, for all nodes together."""

from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from idp.storage.database import Transaction, insert_if_new
from idp.storage.tables import replayed_ids

# Each kind is a space of its own: an identifier of one never stands for one of another.
Kind = Literal["dpop_proof", "client_assertion", "revoked_access_token"]


async def remember(tx: Transaction, *, kind: Kind, id_sha256: bytes, expires_at: datetime) -> bool:
    """Remember an identifier until `expires_at`; False when it was seen before."""
    return await insert_if_new(
        tx, replayed_ids, {"kind": kind, "id_sha256": id_sha256, "expires_at": expires_at}
    )


async def is_known(tx: Transaction, *, kind: Kind, id_sha256: bytes) -> bool:
    """Whether the identifier was seen."""
    result = await tx.execute(
        sa.select(sa.literal(1)).where(replayed_ids.c.kind == kind, replayed_ids.c.id_sha256 == id_sha256)
    )
    return result.one_or_none() is not None


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete what need not be remembered any longer; answer how many rows went."""
    doomed = (
        sa.select(replayed_ids.c.kind, replayed_ids.c.id_sha256)
        .where(replayed_ids.c.expires_at < before)
        .limit(limit)
    )
    result = await tx.execute(
        sa.delete(replayed_ids).where(sa.tuple_(replayed_ids.c.kind, replayed_ids.c.id_sha256).in_(doomed))
    )
    return result.rowcount
