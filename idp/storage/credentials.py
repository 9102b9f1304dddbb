"""Passkeys, as the server knows them: public keys and what their authenticators said of themselves."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction, insert_if_new
from idp.storage.tables import credentials


@dataclass(frozen=True, slots=True)
class Credential:
    """One row of `credentials`."""

    id: bytes
    account_id: str
    rp_id: str
    public_key: bytes
    sign_count: int
    transports: list[str]
    aaguid: str
    backup_eligible: bool
    backed_up: bool
    user_verified: bool
    name: str
    suspected_clone_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None


_COLUMNS = tuple(credentials.c[field.name] for field in fields(Credential))


async def insert(tx: Transaction, credential: Credential) -> bool:
    """Remember a new passkey; False when its id is already known, to whomever."""
    values = {field.name: getattr(credential, field.name) for field in fields(Credential)}
    return await insert_if_new(tx, credentials, values)


async def find(tx: Transaction, *, credential_id: bytes) -> Credential | None:
    """Read one passkey."""
    result = await tx.execute(sa.select(*_COLUMNS).where(credentials.c.id == credential_id))
    row = result.one_or_none()
    return Credential(*row) if row else None


async def lock(tx: Transaction, *, credential_id: bytes) -> Credential | None:
    """Read one passkey and keep everyone else from changing it until the transaction ends."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(credentials.c.id == credential_id).with_for_update(key_share=True)
    )
    row = result.one_or_none()
    return Credential(*row) if row else None


async def of_account(tx: Transaction, *, account_id: str) -> list[Credential]:
    """List an account's passkeys, the oldest first."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .where(credentials.c.account_id == account_id)
        .order_by(credentials.c.created_at, credentials.c.id)
    )
    return [Credential(*row) for row in result]


async def of_accounts(tx: Transaction, *, account_ids: list[str]) -> list[Credential]:
    """List the passkeys of several accounts."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(credentials.c.account_id.in_(account_ids)).order_by(credentials.c.id)
    )
    return [Credential(*row) for row in result]


async def record_use(
    tx: Transaction,
    *,
    credential_id: bytes,
    sign_count: int,
    backed_up: bool,
    suspected_clone_at: datetime | None,
    now: datetime,
) -> None:
    """Remember what a successful assertion said."""
    await tx.execute(
        sa.update(credentials)
        .where(credentials.c.id == credential_id)
        .values(
            sign_count=sign_count,
            backed_up=backed_up,
            suspected_clone_at=suspected_clone_at,
            last_used_at=now,
        )
    )


async def rename(tx: Transaction, *, credential_id: bytes, account_id: str, name: str) -> bool:
    """Give a passkey another name; False when it is not this account's."""
    result = await tx.execute(
        sa.update(credentials)
        .where(credentials.c.id == credential_id, credentials.c.account_id == account_id)
        .values(name=name)
    )
    return result.rowcount == 1


async def delete(tx: Transaction, *, credential_id: bytes, account_id: str) -> bool:
    """Forget a passkey; False when it is not this account's."""
    result = await tx.execute(
        sa.delete(credentials).where(
            credentials.c.id == credential_id, credentials.c.account_id == account_id
        )
    )
    return result.rowcount == 1
