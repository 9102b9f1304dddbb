"""Connections: what a person allowed a client; one row for each pair, with the pair's token epoch."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage import token_endings
from idp.storage.database import Transaction, insert_if_new
from idp.storage.prepared import Lane, Prepared, first_row
from idp.storage.tables import connections


@dataclass(frozen=True, slots=True)
class Connection:
    """One row of `connections`."""

    account_id: str
    client_id: str
    scopes: list[str]
    token_epoch: int
    withdrawn_at: datetime | None
    created_at: datetime
    last_used_at: datetime


_COLUMNS = tuple(connections.c[field.name] for field in fields(Connection))

_find = Prepared(
    sa.select(*_COLUMNS).where(
        connections.c.account_id == sa.bindparam("account_id", type_=sa.Text),
        connections.c.client_id == sa.bindparam("client_id", type_=sa.Text),
        connections.c.withdrawn_at.is_(None),
    )
)
_touch = (
    sa.update(connections)
    .where(
        connections.c.account_id == sa.bindparam("of_account", type_=sa.Text),
        connections.c.client_id == sa.bindparam("of_client", type_=sa.Text),
        connections.c.withdrawn_at.is_(None),
    )
    .values(last_used_at=sa.bindparam("now", type_=connections.c.last_used_at.type))
    .returning(connections.c.token_epoch)
)


async def find(lane: Lane, *, account_id: str, client_id: str) -> Connection | None:
    """Read what a person allows a client now; None also when it was withdrawn."""
    row = await first_row(lane, _find, {"account_id": account_id, "client_id": client_id})
    return Connection(*row) if row else None


async def allow(
    tx: Transaction, *, account_id: str, client_id: str, scopes: list[str], now: datetime
) -> Connection:
    """Remember what a person allows a client from now on; a withdrawn connection begins anew.

    The epoch stays: withdrawing raised it, so nothing older comes back.
    """
    beginning = {
        "account_id": account_id,
        "client_id": client_id,
        "scopes": scopes,
        "token_epoch": 0,
        "created_at": now,
        "last_used_at": now,
    }
    await insert_if_new(tx, connections, beginning)
    result = await tx.execute(
        sa.update(connections)
        .where(connections.c.account_id == account_id, connections.c.client_id == client_id)
        .values(scopes=scopes, withdrawn_at=None, last_used_at=now)
        .returning(*_COLUMNS)
    )
    return Connection(*result.one())


async def touch(tx: Transaction, *, account_id: str, client_id: str, now: datetime) -> int | None:
    """Remember that the connection was used and hold it; answer its epoch, or None when it is withdrawn."""
    result = await tx.execute(_touch, {"of_account": account_id, "of_client": client_id, "now": now})
    epoch: int | None = result.scalar_one_or_none()
    return epoch


async def withdraw(tx: Transaction, *, account_id: str, client_id: str, now: datetime) -> bool:
    """Take back everything a person allowed a client, ending its grants; False when there was nothing."""
    result = await tx.execute(
        sa.update(connections)
        .where(
            connections.c.account_id == account_id,
            connections.c.client_id == client_id,
            connections.c.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=now, token_epoch=connections.c.token_epoch + 1, scopes=[])
        .returning(connections.c.token_epoch)
    )
    epoch = result.scalar_one_or_none()
    return await _note_ending(tx, account_id=account_id, client_id=client_id, epoch=epoch, now=now)


async def raise_epoch(
    tx: Transaction, *, account_id: str, client_id: str, seen_epoch: int, now: datetime
) -> bool:
    """End every grant of the pair; False when someone did since `seen_epoch`."""
    result = await tx.execute(
        sa.update(connections)
        .where(
            connections.c.account_id == account_id,
            connections.c.client_id == client_id,
            connections.c.token_epoch == seen_epoch,
        )
        .values(token_epoch=connections.c.token_epoch + 1)
        .returning(connections.c.token_epoch)
    )
    epoch = result.scalar_one_or_none()
    return await _note_ending(tx, account_id=account_id, client_id=client_id, epoch=epoch, now=now)


async def _note_ending(
    tx: Transaction, *, account_id: str, client_id: str, epoch: int | None, now: datetime
) -> bool:
    if epoch is None:
        return False
    await token_endings.insert(
        tx, kind="connection", account_id=account_id, client_id=client_id, epoch=epoch, now=now
    )
    return True


async def of_account(tx: Transaction, *, account_id: str) -> list[Connection]:
    """List what a person allows, the last used first."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .where(connections.c.account_id == account_id, connections.c.withdrawn_at.is_(None))
        .order_by(connections.c.last_used_at.desc(), connections.c.client_id)
    )
    return [Connection(*row) for row in result]
