from collections.abc import Mapping
from datetime import datetime

from idp import audit
from idp.accounts import profile
from idp.storage import accounts
from idp.storage.database import Transaction


async def change(
    tx: Transaction,
    *,
    account_id: str,
    name: str | None,
    claims: Mapping[str, str],
    now: datetime,
    actor: str | None = None,
) -> bool:
    """Change a person's name (None: leave it) and profile; False when there is no such account.

    Raises ProfileError.
    """
    account = await accounts.lock(tx, account_id=account_id)
    if account is None or account.status == "deleted":
        return False
    changed = profile.change(account.profile or {}, claims)
    if name is not None:
        await accounts.rename(tx, account_id=account_id, name=name, now=now)
    await accounts.set_profile(tx, account_id=account_id, profile=changed, now=now)
    # The names alone: what is known of a person has no place in a log that outlives them.
    details = {"claims": [*(["name"] if name is not None else []), *claims]}
    await audit.record(tx, "profile_changed", account_id=account_id, actor=actor, details=details, now=now)
    return True
