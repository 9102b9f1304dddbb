"""What is known of a person, for the apps that they let know: one statement over two tables."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from idp.storage.prepared import Lane, Prepared, first_row
from idp.storage.tables import accounts, email_addresses


@dataclass(frozen=True, slots=True)
class Person:
    """An account and the address that apps see; both `email…` are None without one."""

    name: str
    profile: dict[str, object] | None
    updated_at: datetime
    email: str | None
    email_verified_at: datetime | None


_first_address = (
    sa.select(email_addresses.c.id)
    .where(email_addresses.c.account_id == accounts.c.id)
    .order_by(email_addresses.c.is_primary.desc(), email_addresses.c.normalized)
    .limit(sa.literal_column("1"))
    .correlate(accounts)
    .scalar_subquery()
)
_shown = email_addresses.alias("shown")
_find = Prepared(
    sa.select(
        accounts.c.name, accounts.c.profile, accounts.c.updated_at, _shown.c.address, _shown.c.verified_at
    )
    .select_from(accounts.outerjoin(_shown, _shown.c.id == _first_address))
    .where(accounts.c.id == sa.bindparam("account_id", type_=sa.Text))
)


async def find(lane: Lane, *, account_id: str) -> Person | None:
    """Read what is known of a person, whatever their account's status."""
    row = await first_row(lane, _find, {"account_id": account_id})
    return Person(*row) if row else None
