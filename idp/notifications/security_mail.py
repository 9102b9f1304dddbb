"""Word to a person of a change in their account: one mail for each address that is verified theirs."""

from collections.abc import Mapping
from datetime import datetime

from idp.notifications import outbox
from idp.notifications.outbox import MailKind, Sealer
from idp.storage import email_addresses
from idp.storage.database import Transaction


async def tell(
    tx: Transaction,
    kind: MailKind,
    *,
    account_id: str,
    values: Mapping[str, str | int],
    sealer: Sealer,
    now: datetime,
) -> None:
    """Write to every verified address in the transaction of the change; before it, when it takes one away."""
    # ASVS 6.3.7: each of them, so that who holds one mailbox alone cannot keep the person from knowing.
    for address in await email_addresses.of_account(tx, account_id=account_id):
        if address.verified_at is not None:
            await outbox.enqueue_mail(
                tx, kind, recipient=address.address, values=values, sealer=sealer, now=now
            )
