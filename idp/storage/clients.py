"""Registered clients and the digests of their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage import token_endings
from idp.storage.database import Transaction, insert_if_new
from idp.storage.tables import client_secrets, clients


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One row of `clients`; `metadata` is what `clients/metadata.py` validated."""

    id: str
    metadata: dict[str, object]
    is_first_party: bool
    token_epoch: int
    version: int
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """One row of `client_secrets`. `expires_at` None: until it is replaced."""

    secret_sha256: bytes
    client_id: str
    created_at: datetime
    expires_at: datetime | None


_COLUMNS = tuple(clients.c[field.name] for field in fields(ClientRow))
_SECRET_COLUMNS = tuple(client_secrets.c[field.name] for field in fields(ClientSecret))


async def insert(
    tx: Transaction,
    *,
    client_id: str,
    metadata: dict[str, object],
    is_first_party: bool,
    now: datetime,
    token_epoch: int = 0,
) -> bool:
    """Remember a new client; False when its identifier is taken."""
    values: dict[str, object] = {
        "id": client_id,
        "metadata": metadata,
        "is_first_party": is_first_party,
        "token_epoch": token_epoch,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    return await insert_if_new(tx, clients, values)


async def find(tx: Transaction, *, client_id: str) -> ClientRow | None:
    """Read a client, disabled or not."""
    result = await tx.execute(sa.select(*_COLUMNS).where(clients.c.id == client_id))
    row = result.one_or_none()
    return ClientRow(*row) if row else None


async def update(
    tx: Transaction,
    *,
    client_id: str,
    metadata: dict[str, object],
    is_first_party: bool,
    seen_version: int,
    now: datetime,
) -> bool:
    """Replace a client's metadata; False when someone changed it since `seen_version`."""
    result = await tx.execute(
        sa.update(clients)
        .where(clients.c.id == client_id, clients.c.version == seen_version)
        .values(
            metadata=metadata, is_first_party=is_first_party, version=clients.c.version + 1, updated_at=now
        )
    )
    return result.rowcount == 1


async def set_disabled(
    tx: Transaction, *, client_id: str, disabled_at: datetime | None, now: datetime
) -> bool:
    """Switch a client off (ending all that it was given) or on; False when it is so already, or gone."""
    is_other = clients.c.disabled_at.is_not(None) if disabled_at is None else clients.c.disabled_at.is_(None)
    result = await tx.execute(
        sa.update(clients)
        .where(clients.c.id == client_id, is_other)
        .values(
            disabled_at=disabled_at,
            token_epoch=clients.c.token_epoch + 1,
            version=clients.c.version + 1,
            updated_at=now,
        )
        .returning(clients.c.token_epoch)
    )
    return await _note_ending(tx, client_id=client_id, epoch=result.scalar_one_or_none(), now=now)


async def raise_version(tx: Transaction, *, client_id: str, now: datetime) -> bool:
    """Mark a client as changed and hold it until the transaction ends; False when there is none."""
    result = await tx.execute(
        sa.update(clients)
        .where(clients.c.id == client_id)
        .values(version=clients.c.version + 1, updated_at=now)
    )
    return result.rowcount == 1


async def delete(tx: Transaction, *, client_id: str, now: datetime) -> bool:
    """Forget a client; its grants find no client any more and are dead."""
    result = await tx.execute(
        sa.delete(clients).where(clients.c.id == client_id).returning(clients.c.token_epoch + 1)
    )
    return await _note_ending(tx, client_id=client_id, epoch=result.scalar_one_or_none(), now=now)


async def _note_ending(tx: Transaction, *, client_id: str, epoch: int | None, now: datetime) -> bool:
    if epoch is None:
        return False
    await token_endings.insert(tx, kind="client", client_id=client_id, epoch=epoch, now=now)
    return True


async def listed(tx: Transaction, *, after: str, limit: int) -> list[ClientRow]:
    """List clients by id, `limit` of them behind `after`."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(clients.c.id > after).order_by(clients.c.id).limit(limit)
    )
    return [ClientRow(*row) for row in result]


async def insert_secret(
    tx: Transaction, *, secret_sha256: bytes, client_id: str, expires_at: datetime | None, now: datetime
) -> None:
    """Remember the digest of a client's new secret."""
    await tx.execute(
        sa.insert(client_secrets).values(
            secret_sha256=secret_sha256, client_id=client_id, created_at=now, expires_at=expires_at
        )
    )


async def secrets_of(tx: Transaction, *, client_id: str) -> list[ClientSecret]:
    """List the digests of a client's secrets, the newest first."""
    result = await tx.execute(
        sa.select(*_SECRET_COLUMNS)
        .where(client_secrets.c.client_id == client_id)
        .order_by(client_secrets.c.created_at.desc(), client_secrets.c.secret_sha256)
    )
    return [ClientSecret(*row) for row in result]


async def secrets_of_clients(tx: Transaction, *, client_ids: Sequence[str]) -> list[ClientSecret]:
    """List the digests of several clients' secrets, the newest first."""
    result = await tx.execute(
        sa.select(*_SECRET_COLUMNS)
        .where(client_secrets.c.client_id.in_(client_ids))
        .order_by(client_secrets.c.created_at.desc(), client_secrets.c.secret_sha256)
    )
    return [ClientSecret(*row) for row in result]


async def expire_secrets(tx: Transaction, *, client_id: str, expires_at: datetime) -> int:
    """Let a client's present secrets end no later than `expires_at`; answer how many change."""
    result = await tx.execute(
        sa.update(client_secrets)
        .where(
            client_secrets.c.client_id == client_id,
            sa.or_(client_secrets.c.expires_at.is_(None), client_secrets.c.expires_at > expires_at),
        )
        .values(expires_at=expires_at)
    )
    return result.rowcount


async def delete_expired_secrets(tx: Transaction, *, client_id: str, now: datetime) -> int:
    """Forget a client's secrets that have ended."""
    result = await tx.execute(
        sa.delete(client_secrets).where(
            client_secrets.c.client_id == client_id, client_secrets.c.expires_at <= now
        )
    )
    return result.rowcount


async def delete_ending_secrets(tx: Transaction, *, client_id: str) -> int:
    """Forget a client's secrets that have an end, past or to come."""
    result = await tx.execute(
        sa.delete(client_secrets).where(
            client_secrets.c.client_id == client_id, client_secrets.c.expires_at.is_not(None)
        )
    )
    return result.rowcount


async def delete_secrets(tx: Transaction, *, client_id: str) -> int:
    """Forget every secret of a client."""
    result = await tx.execute(sa.delete(client_secrets).where(client_secrets.c.client_id == client_id))
    return result.rowcount
