"""What ended before its time: a row for each raised epoch, so that the status lists find it unsearched.

A grant that is revoked says so itself; here stands what ended many at once.
"""

from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import grants, token_endings

Kind = Literal["account", "client", "connection"]


async def insert(
    tx: Transaction,
    *,
    kind: Kind,
    epoch: int,
    now: datetime,
    account_id: str | None = None,
    client_id: str | None = None,
) -> None:
    """Remember that every grant of an account, a client or a pair of them is over if made before `epoch`."""
    await tx.execute(
        sa.insert(token_endings).values(
            kind=kind, account_id=account_id, client_id=client_id, epoch=epoch, ended_at=now
        )
    )


def _ended(kind: Kind, *of_the_same: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    return (
        sa.select(grants.c.status_index)
        .join(token_endings, sa.and_(*of_the_same))
        .where(
            token_endings.c.kind == kind,
            token_endings.c.ended_at > _since,
            grants.c[f"{kind}_epoch"] < token_endings.c.epoch,
            grants.c.rotated_at > _minted_after,
        )
    )


_instant = grants.c.expires_at.type
_since = sa.bindparam("since", type_=_instant)
_until = sa.bindparam("until", type_=_instant)
_minted_after = sa.bindparam("minted_after", type_=_instant)
_same_account = token_endings.c.account_id == grants.c.account_id
_same_client = token_endings.c.client_id == grants.c.client_id

# Each way by an index of its own: a few rows, however many grants there are.
_ended_between = sa.union(
    sa.select(grants.c.status_index).where(
        grants.c.status == "revoked", grants.c.revoked_at > _since, grants.c.rotated_at > _minted_after
    ),
    sa.select(grants.c.status_index).where(
        grants.c.expires_at > _since, grants.c.expires_at <= _until, grants.c.rotated_at > _minted_after
    ),
    _ended("account", _same_account),
    _ended("client", _same_client),
    _ended("connection", _same_account, _same_client),
)


async def indices_ended(
    tx: Transaction, *, since: datetime, until: datetime, minted_after: datetime
) -> list[int]:
    """Name the status indices of grants that ended in the time given.

    Only of those that were given an access token after `minted_after`.
    """
    result = await tx.execute(_ended_between, {"since": since, "until": until, "minted_after": minted_after})
    return list(result.scalars())


async def index_range(tx: Transaction) -> tuple[int, int] | None:
    """Answer the lowest and the highest status index there is; None without any grant."""
    result = await tx.execute(
        sa.select(
            sa.select(sa.func.min(grants.c.status_index)).scalar_subquery(),
            sa.select(sa.func.max(grants.c.status_index)).scalar_subquery(),
        )
    )
    lowest, highest = result.one()
    return None if lowest is None else (lowest, highest)


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Forget endings that no token can have outlived; answer how many rows went."""
    doomed = sa.select(token_endings.c.id).where(token_endings.c.ended_at < before).limit(limit)
    result = await tx.execute(sa.delete(token_endings).where(token_endings.c.id.in_(doomed)))
    return result.rowcount
