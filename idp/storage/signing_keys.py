"""Signing keys: public halves, encrypted private halves and their timetable."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction, insert_if_new
from idp.storage.tables import signing_keys


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """One row of `signing_keys`. `retires_at` and `gone_at` None: not before a successor is planned.

    Equal `retires_at` and `gone_at`: it was withdrawn in an emergency.
    """

    kid: str
    sequence: int
    algorithm: str
    public_jwk: dict[str, str]
    private_key_encrypted: bytes
    created_at: datetime
    activates_at: datetime
    retires_at: datetime | None
    gone_at: datetime | None


_COLUMNS = tuple(signing_keys.c[field.name] for field in fields(SigningKeyRow))


async def lock(tx: Transaction) -> None:
    """Let nobody else change the keys until this transaction ends; readers go on.

    Who plans a key judges by all the others, so two planners must not work side by side.
    """
    # On SQLite the one writer has the whole database already.
    if tx.dialect.name == "postgresql":
        await tx.execute(sa.text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))


async def insert(tx: Transaction, key: SigningKeyRow) -> bool:
    """Remember a new key; False when another node took its place in the sequence first."""
    values = {field.name: getattr(key, field.name) for field in fields(SigningKeyRow)}
    return await insert_if_new(tx, signing_keys, values)


async def listed(tx: Transaction) -> list[SigningKeyRow]:
    """List every key, in sequence."""
    result = await tx.execute(sa.select(*_COLUMNS).order_by(signing_keys.c.sequence))
    return [SigningKeyRow(*row) for row in result]


async def plan(tx: Transaction, *, kid: str, retires_at: datetime, gone_at: datetime) -> bool:
    """Set when a key stops signing and when it leaves the JWKS; False when that is set already."""
    result = await tx.execute(
        sa.update(signing_keys)
        .where(signing_keys.c.kid == kid, signing_keys.c.retires_at.is_(None))
        .values(retires_at=retires_at, gone_at=gone_at)
    )
    return result.rowcount == 1


async def postpone_retirement(tx: Transaction, *, kid: str) -> None:
    """Let a key sign until another successor is planned."""
    await tx.execute(
        sa.update(signing_keys).where(signing_keys.c.kid == kid).values(retires_at=None, gone_at=None)
    )


async def activate(tx: Transaction, *, kid: str, at: datetime) -> None:
    """Let a key that is planned for later sign from now on."""
    await tx.execute(
        sa.update(signing_keys)
        .where(signing_keys.c.kid == kid, signing_keys.c.activates_at > at)
        .values(activates_at=at)
    )


async def withdraw(tx: Transaction, *, kid: str, at: datetime) -> None:
    """Take a key out of use and out of the JWKS in one moment."""
    await tx.execute(
        sa.update(signing_keys).where(signing_keys.c.kid == kid).values(retires_at=at, gone_at=at)
    )


async def replace_private_key(
    tx: Transaction, *, kid: str, seen: bytes, private_key_encrypted: bytes
) -> bool:
    """Store the private half encrypted anew; False when someone did since `seen`."""
    result = await tx.execute(
        sa.update(signing_keys)
        .where(signing_keys.c.kid == kid, signing_keys.c.private_key_encrypted == seen)
        .values(private_key_encrypted=private_key_encrypted)
    )
    return result.rowcount == 1


async def delete(tx: Transaction, *, kid: str) -> bool:
    """Forget a key that has left the JWKS."""
    result = await tx.execute(sa.delete(signing_keys).where(signing_keys.c.kid == kid))
    return result.rowcount == 1
