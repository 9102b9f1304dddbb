"""Addition: one more passkey for a person who confirmed with another one that it is them."""

from datetime import datetime

from idp.notifications.outbox import Sealer
from idp.passkeys import registration
from idp.passkeys.refusal import CONFIRMATION_REQUIRED, SIGNED_OUT, Refusal, refuse
from idp.passkeys.registration import CREDENTIAL_KNOWN, EVENT
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.sessions import confirmation
from idp.storage import accounts
from idp.storage.accounts import Account
from idp.storage.browser_sessions import BrowserSession
from idp.storage.credentials import Credential
from idp.storage.database import Transaction
from idp.web.parameters import Json

_PURPOSE = "add"


async def begin_addition(
    tx: Transaction,
    *,
    operation_id: str,
    session: BrowserSession,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    now: datetime,
) -> dict[str, Json] | Refusal:
    """Use up a confirmed operation, and hand out a challenge for one more passkey of the person."""
    account = await accounts.find(tx, account_id=session.account_id)
    if account is None or not _is_live(session, account):
        return await refuse(tx, EVENT, SIGNED_OUT, account_id=session.account_id, now=now)
    # ASVS 7.5.1: however fresh the sign-in, a new way in is confirmed by itself.
    operation = await confirmation.take(
        tx, "passkey.add", operation_id=operation_id, session=session, now=now
    )
    if operation is None:
        return await refuse(tx, EVENT, CONFIRMATION_REQUIRED, account_id=account.id, now=now)
    return await registration.begin(
        tx,
        account,
        purpose=_PURPOSE,
        enrolment_sha256=None,
        browser_sha256=browser_sha256,
        relying_party=relying_party,
        now=now,
    )


async def finish_addition(
    tx: Transaction,
    *,
    session: BrowserSession,
    credential: Json,
    name: str | None,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    sealer: Sealer,
    now: datetime,
) -> Credential | Refusal:
    """Give the signed-in person one more passkey; `name` None: called after its maker."""
    try:
        proven = await registration.verify(
            tx,
            credential,
            purpose=_PURPOSE,
            browser_sha256=browser_sha256,
            relying_party=relying_party,
            now=now,
        )
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, account_id=session.account_id, now=now)
    # Another person may have signed in here meanwhile: the challenge is still the first one's.
    if proven.ceremony.account_id != session.account_id:
        return await refuse(tx, EVENT, "challenge_of_other_account", account_id=session.account_id, now=now)
    account = await accounts.lock(tx, account_id=session.account_id)
    if account is None or not _is_live(session, account):
        return await refuse(tx, EVENT, SIGNED_OUT, account_id=session.account_id, now=now)
    if reason := await registration.obstacle(tx, account, proven.passkey):
        return await refuse(tx, EVENT, reason, account_id=account.id, now=now)
    stored = await registration.store(
        tx, account, proven.passkey, name=name, relying_party=relying_party, sealer=sealer, now=now
    )
    if stored is None:
        return await refuse(tx, EVENT, CREDENTIAL_KNOWN, account_id=account.id, now=now)
    return stored


def _is_live(session: BrowserSession, account: Account) -> bool:
    """Whether the session still stands; asked again here, for it was read in an earlier transaction."""
    return account.status == "active" and account.token_epoch == session.account_epoch
