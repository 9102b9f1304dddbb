"""When a person was last asked to add a passkey to the device at hand."""

from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite

from idp.storage.database import Transaction
from idp.storage.tables import passkey_nudges


async def take(tx: Transaction, *, account_id: str, unless_since: datetime, now: datetime) -> bool:
    """Whether to ask now; then it counts as asked. False when it was asked after `unless_since`."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(passkey_nudges).values(account_id=account_id, shown_at=now)
    result = await tx.execute(
        statement.on_conflict_do_update(
            index_elements=[passkey_nudges.c.account_id],
            set_={"shown_at": now},
            where=passkey_nudges.c.shown_at <= unless_since,
        ).returning(passkey_nudges.c.account_id)
    )
    return result.one_or_none() is not None
