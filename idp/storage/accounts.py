"""Accounts: the people (and, until their first passkey, the beginnings of people)."""

from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from idp.storage import token_endings
from idp.storage.database import Transaction
from idp.storage.tables import accounts, browser_sessions, connections, credentials, email_addresses


@dataclass(frozen=True, slots=True)
class Account:
    """One row of `accounts`. `id` is the subject that clients see; `user_handle` is WebAuthn's."""

    id: str
    user_handle: bytes
    name: str
    status: str
    role: str | None
    token_epoch: int
    notice: dict[str, str] | None
    profile: dict[str, object] | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = tuple(accounts.c[field.name] for field in fields(Account))


async def insert_pending(
    tx: Transaction, *, account_id: str, user_handle: bytes, name: str, role: str | None, now: datetime
) -> None:
    """Begin an account that becomes real with its first passkey."""
    await tx.execute(
        sa.insert(accounts).values(
            id=account_id,
            user_handle=user_handle,
            name=name,
            status="pending",
            role=role,
            token_epoch=0,
            created_at=now,
            updated_at=now,
        )
    )


async def find(tx: Transaction, *, account_id: str) -> Account | None:
    """Read an account, whatever its status."""
    result = await tx.execute(sa.select(*_COLUMNS).where(accounts.c.id == account_id))
    row = result.one_or_none()
    return Account(*row) if row else None


async def find_by_user_handle(tx: Transaction, *, user_handle: bytes) -> Account | None:
    """Read the account that its passkeys know by this handle, whatever its status."""
    result = await tx.execute(sa.select(*_COLUMNS).where(accounts.c.user_handle == user_handle))
    row = result.one_or_none()
    return Account(*row) if row else None


async def lock(tx: Transaction, *, account_id: str) -> Account | None:
    """Read an account and keep everyone else from changing it until the transaction ends."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(accounts.c.id == account_id).with_for_update(key_share=True)
    )
    row = result.one_or_none()
    return Account(*row) if row else None


async def activate(tx: Transaction, *, account_id: str, now: datetime) -> bool:
    """Make a pending account real; True also when it already was, False when it is disabled or gone."""
    result = await tx.execute(
        sa.update(accounts)
        .where(accounts.c.id == account_id, accounts.c.status.in_(("pending", "active")))
        .values(status="active", updated_at=now)
    )
    return result.rowcount == 1


async def rename(tx: Transaction, *, account_id: str, name: str, now: datetime) -> None:
    """Change the person's name."""
    await tx.execute(sa.update(accounts).where(accounts.c.id == account_id).values(name=name, updated_at=now))


async def set_profile(tx: Transaction, *, account_id: str, profile: dict[str, object], now: datetime) -> None:
    """Change what is known of the person beyond name and address (idp/accounts/profile.py)."""
    await tx.execute(
        sa.update(accounts).where(accounts.c.id == account_id).values(profile=profile or None, updated_at=now)
    )


async def raise_epoch(tx: Transaction, *, account_id: str, seen_epoch: int, now: datetime) -> bool:
    """End every grant, session and interaction of the account; False when someone did since `seen_epoch`."""
    result = await tx.execute(
        sa.update(accounts)
        .where(accounts.c.id == account_id, accounts.c.token_epoch == seen_epoch)
        .values(token_epoch=accounts.c.token_epoch + 1, updated_at=now)
        .returning(accounts.c.token_epoch)
    )
    return await _note_ending(tx, account_id=account_id, epoch=result.scalar_one_or_none(), now=now)


async def set_status(tx: Transaction, *, account_id: str, status: str, now: datetime) -> bool:
    """Disable, enable or delete an account, ending everything that it had open."""
    result = await tx.execute(
        sa.update(accounts)
        .where(accounts.c.id == account_id, accounts.c.status != "deleted")
        .values(status=status, token_epoch=accounts.c.token_epoch + 1, updated_at=now)
        .returning(accounts.c.token_epoch)
    )
    return await _note_ending(tx, account_id=account_id, epoch=result.scalar_one_or_none(), now=now)


async def _note_ending(tx: Transaction, *, account_id: str, epoch: int | None, now: datetime) -> bool:
    if epoch is None:
        return False
    await token_endings.insert(tx, kind="account", account_id=account_id, epoch=epoch, now=now)
    return True


async def set_role(tx: Transaction, *, account_id: str, role: str | None, now: datetime) -> bool:
    """Give the account a role in administration, or none."""
    result = await tx.execute(
        sa.update(accounts).where(accounts.c.id == account_id).values(role=role, updated_at=now)
    )
    return result.rowcount == 1


async def leave_notice(tx: Transaction, *, account_id: str, notice: dict[str, str]) -> None:
    """Leave word that the person reads at the next sign-in."""
    await tx.execute(sa.update(accounts).where(accounts.c.id == account_id).values(notice=notice))


async def clear_notice(tx: Transaction, *, account_id: str) -> None:
    """The person has read it."""
    await tx.execute(sa.update(accounts).where(accounts.c.id == account_id).values(notice=None))


async def erase(tx: Transaction, *, account_id: str, now: datetime) -> bool:
    """Delete an account and what is known of its person, for good; False when it was gone already.

    The row stays, nameless: its id was handed to clients as a subject and must never be anyone else's.
    """
    if not await set_status(tx, account_id=account_id, status="deleted", now=now):
        return False
    await tx.execute(
        sa.update(accounts)
        .where(accounts.c.id == account_id)
        .values(name="", role=None, notice=None, profile=None)
    )
    for table in (credentials, email_addresses, browser_sessions, connections):
        await tx.execute(sa.delete(table).where(table.c.account_id == account_id))
    return True


async def has_administrator(tx: Transaction) -> bool:
    """Whether anyone real has the role `owner` or `administrator`."""
    result = await tx.execute(
        sa.select(sa.literal(1))
        .where(accounts.c.role.in_(("owner", "administrator")), accounts.c.status == "active")
        .limit(1)
    )
    return result.one_or_none() is not None


async def search(tx: Transaction, *, after: str, limit: int) -> list[Account]:
    """List accounts by id, `limit` of them behind `after`."""
    result = await tx.execute(
        sa.select(*_COLUMNS).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
    )
    return [Account(*row) for row in result]


async def prune_pending(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete beginnings of accounts that never got a passkey; answer how many went."""
    doomed = (
        sa.select(accounts.c.id)
        .where(accounts.c.status == "pending", accounts.c.created_at < before)
        .limit(limit)
    )
    # The status once more: PostgreSQL asks again about a row that changed meanwhile, but not the subquery.
    result = await tx.execute(
        sa.delete(accounts).where(accounts.c.id.in_(doomed), accounts.c.status == "pending")
    )
    return result.rowcount
