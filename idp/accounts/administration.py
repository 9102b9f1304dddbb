"""What administrators do with accounts: disabling and enabling, deleting, giving and taking roles."""

from datetime import datetime
from typing import Literal

from idp import audit
from idp.accounts import email_address
from idp.sessions import browser_session
from idp.storage import accounts, email_addresses, enrolments
from idp.storage.accounts import Account
from idp.storage.database import Transaction

Role = Literal["owner", "administrator"]
ROLES: tuple[Role, ...] = ("owner", "administrator")
_AMBIGUOUS = 2


async def find_account(tx: Transaction, *, named: str) -> Account | None:
    """Read the account with this id or e-mail address; None when there is none, or more than one claims it.

    Whoever verified an address comes before whoever merely claims it.
    """
    normalized = email_address.normalize(named)
    if normalized is None:
        return await accounts.find(tx, account_id=named)
    holder = await email_addresses.holder(tx, normalized=normalized)
    if holder is None:
        claimants = await email_addresses.claimants(tx, normalized=normalized, limit=_AMBIGUOUS)
        holder = claimants[0] if len(claimants) == 1 else None
    return await accounts.find(tx, account_id=holder) if holder else None


async def disable(tx: Transaction, *, account_id: str, now: datetime, actor: str | None = None) -> bool:
    """Keep an account from signing in and end all that it had open; False when it is deleted or unknown."""
    return await _set_status(tx, account_id=account_id, status="disabled", now=now, actor=actor)


async def enable(tx: Transaction, *, account_id: str, now: datetime, actor: str | None = None) -> bool:
    """Let a disabled account sign in again; False when it is not disabled."""
    account = await accounts.lock(tx, account_id=account_id)
    if account is None or account.status != "disabled":
        return False
    return await _set_status(tx, account_id=account_id, status="active", now=now, actor=actor)


async def delete(tx: Transaction, *, account_id: str, now: datetime, actor: str | None = None) -> bool:
    """Delete an account and what is known of its person, for good; False when it was gone already."""
    await enrolments.end_of_account(tx, account_id=account_id, now=now)
    # Before the sessions' rows are gone, and with them all knowledge of the apps that must hear of it.
    await accounts.lock(tx, account_id=account_id)
    await browser_session.end_all(tx, account_id=account_id, now=now)
    if not await accounts.erase(tx, account_id=account_id, now=now):
        return False
    await audit.record(tx, "account_deleted", account_id=account_id, actor=actor, now=now)
    return True


async def set_role(
    tx: Transaction, *, account_id: str, role: Role | None, now: datetime, actor: str | None = None
) -> bool:
    """Give an account a role in administration, or none; False when there is no such account."""
    if not await accounts.set_role(tx, account_id=account_id, role=role, now=now):
        return False
    details = {"role": role}
    await audit.record(tx, "role_changed", account_id=account_id, actor=actor, details=details, now=now)
    return True


async def _set_status(
    tx: Transaction,
    *,
    account_id: str,
    status: Literal["active", "disabled"],
    now: datetime,
    actor: str | None,
) -> bool:
    await enrolments.end_of_account(tx, account_id=account_id, now=now)
    if not await accounts.set_status(tx, account_id=account_id, status=status, now=now):
        return False
    await browser_session.end_all(tx, account_id=account_id, now=now)
    event = "account_disabled" if status == "disabled" else "account_enabled"
    await audit.record(tx, event, account_id=account_id, actor=actor, now=now)
    return True
