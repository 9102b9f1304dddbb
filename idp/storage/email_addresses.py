"""E-mail addresses: claimed by anyone, held by the one account that opened the mailed link."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from idp.storage.database import Transaction
from idp.storage.tables import email_addresses, email_verifications


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """One row of `email_addresses`: as typed, and as compared."""

    id: str
    account_id: str
    address: str
    normalized: str
    is_primary: bool
    verified_at: datetime | None
    created_at: datetime


_COLUMNS = tuple(email_addresses.c[field.name] for field in fields(EmailAddress))


async def insert(
    tx: Transaction,
    *,
    address_id: str,
    account_id: str,
    address: str,
    normalized: str,
    is_primary: bool,
    now: datetime,
) -> None:
    """Remember that an account claims an address; it is not the account's until verified."""
    await tx.execute(
        sa.insert(email_addresses).values(
            id=address_id,
            account_id=account_id,
            address=address,
            normalized=normalized,
            is_primary=is_primary,
            created_at=now,
        )
    )


async def of_account(tx: Transaction, *, account_id: str) -> list[EmailAddress]:
    """List an account's addresses, the primary one first."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .where(email_addresses.c.account_id == account_id)
        .order_by(email_addresses.c.is_primary.desc(), email_addresses.c.normalized)
    )
    return [EmailAddress(*row) for row in result]


async def holder(tx: Transaction, *, normalized: str) -> str | None:
    """Name the account that holds the address, verified."""
    result = await tx.execute(
        sa.select(email_addresses.c.account_id).where(
            email_addresses.c.normalized == normalized, email_addresses.c.verified_at.is_not(None)
        )
    )
    return result.scalar_one_or_none()


async def held(tx: Transaction, *, normalized: str) -> EmailAddress | None:
    """Read the address as the account that holds it, verified, spelt it."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(
            email_addresses.c.normalized == normalized, email_addresses.c.verified_at.is_not(None)
        )
    )
    row = result.one_or_none()
    return EmailAddress(*row) if row else None


async def delete_unverified(tx: Transaction, *, account_id: str) -> int:
    """Forget what an account claims and never verified; answer how many addresses."""
    result = await tx.execute(
        sa.delete(email_addresses).where(
            email_addresses.c.account_id == account_id, email_addresses.c.verified_at.is_(None)
        )
    )
    return result.rowcount


async def make_primary(tx: Transaction, *, address_id: str, account_id: str) -> None:
    """Make one of the account's addresses the one that apps see, and no other."""
    await tx.execute(
        sa.update(email_addresses)
        .where(email_addresses.c.account_id == account_id)
        .values(is_primary=email_addresses.c.id == address_id)
    )


async def delete(tx: Transaction, *, address_id: str, account_id: str) -> bool:
    """Forget one of the account's addresses; False when it has none such."""
    result = await tx.execute(
        sa.delete(email_addresses).where(
            email_addresses.c.id == address_id, email_addresses.c.account_id == account_id
        )
    )
    return result.rowcount == 1


async def claimants(tx: Transaction, *, normalized: str, limit: int) -> list[str]:
    """Name the accounts that claim the address without having verified it, the newest first."""
    result = await tx.execute(
        sa.select(email_addresses.c.account_id)
        .where(email_addresses.c.normalized == normalized, email_addresses.c.verified_at.is_(None))
        .order_by(email_addresses.c.created_at.desc())
        .limit(limit)
    )
    return list(result.scalars())


async def insert_verification(
    tx: Transaction, *, token_sha256: bytes, email_address_id: str, expires_at: datetime, now: datetime
) -> None:
    """Remember a mailed link; it ends every earlier link for the same address."""
    await tx.execute(
        sa.update(email_verifications)
        .where(
            email_verifications.c.email_address_id == email_address_id,
            email_verifications.c.used_at.is_(None),
        )
        .values(used_at=now)
    )
    await tx.execute(
        sa.insert(email_verifications).values(
            token_sha256=token_sha256,
            email_address_id=email_address_id,
            created_at=now,
            expires_at=expires_at,
        )
    )


async def peek_verification(tx: Transaction, *, token_sha256: bytes, now: datetime) -> EmailAddress | None:
    """Read which address an unused link is about, without using it."""
    result = await tx.execute(
        sa.select(*_COLUMNS)
        .join(email_verifications, email_verifications.c.email_address_id == email_addresses.c.id)
        .where(
            email_verifications.c.token_sha256 == token_sha256,
            email_verifications.c.used_at.is_(None),
            email_verifications.c.expires_at > now,
        )
    )
    row = result.one_or_none()
    return EmailAddress(*row) if row else None


async def use_verification(
    tx: Transaction, *, token_sha256: bytes, account_id: str, now: datetime
) -> str | None:
    """Use a link once, for its own account; answer the address's id, or None."""
    own = sa.select(email_addresses.c.id).where(email_addresses.c.account_id == account_id)
    result = await tx.execute(
        sa.update(email_verifications)
        .where(
            email_verifications.c.token_sha256 == token_sha256,
            email_verifications.c.used_at.is_(None),
            email_verifications.c.expires_at > now,
            email_verifications.c.email_address_id.in_(own),
        )
        .values(used_at=now)
        .returning(email_verifications.c.email_address_id)
    )
    address_id: str | None = result.scalar_one_or_none()
    return address_id


async def verify(tx: Transaction, *, address_id: str, now: datetime) -> bool:
    """Make the address the account's own; False when another account holds it."""
    twin = email_addresses.alias()
    taken = sa.exists().where(
        twin.c.normalized == email_addresses.c.normalized,
        twin.c.id != email_addresses.c.id,
        twin.c.verified_at.is_not(None),
    )
    claim = sa.update(email_addresses).where(email_addresses.c.id == address_id, ~taken)
    try:
        # Two accounts may come at once, neither seeing the other: then the unique index decides, and a
        # savepoint lets the loser's transaction go on.
        async with tx.begin_nested():
            result = await tx.execute(claim.values(verified_at=now))
    except IntegrityError:
        return False
    return result.rowcount == 1


async def prune_verifications(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete links that expired before `before`; answer how many went."""
    doomed = (
        sa.select(email_verifications.c.token_sha256)
        .where(email_verifications.c.expires_at < before)
        .limit(limit)
    )
    result = await tx.execute(
        sa.delete(email_verifications).where(email_verifications.c.token_sha256.in_(doomed))
    )
    return result.rowcount
