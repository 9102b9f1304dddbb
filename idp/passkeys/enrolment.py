"""Enrolment: the first passkey of an account, or of one that lost all of its own, by a one-time right."""

from datetime import datetime

from idp import audit, opaque_token
from idp.notifications.outbox import Sealer
from idp.passkeys import authentication_strength, registration, sign_in
from idp.passkeys.refusal import ENROLMENT_UNAVAILABLE, Refusal, refuse
from idp.passkeys.registration import CREDENTIAL_KNOWN, EVENT
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.sign_in import SignedIn, SigningInBrowser
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.settings import Sessions
from idp.storage import accounts, enrolments
from idp.storage.accounts import Account
from idp.storage.database import Transaction
from idp.storage.enrolments import Enrolment
from idp.web.parameters import Json

ACTIVATED_EVENT = "account_activated"

_PURPOSE = "enrol"
_FIRST_ADMINISTRATOR = "first_administrator"


async def begin_enrolment(
    tx: Transaction,
    *,
    enrolment_token: str,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    now: datetime,
) -> dict[str, Json] | Refusal:
    """Hand out a challenge for a new passkey of the enrolment's account."""
    token_sha256 = opaque_token.sha256(enrolment_token)
    enrolment = await _find_enrolment(tx, token_sha256, browser_sha256=browser_sha256, now=now)
    account = await accounts.find(tx, account_id=enrolment.account_id) if enrolment else None
    if account is None or account.status not in {"pending", "active"}:
        return await refuse(tx, EVENT, ENROLMENT_UNAVAILABLE, now=now)
    return await registration.begin(
        tx,
        account,
        purpose=_PURPOSE,
        enrolment_sha256=token_sha256,
        browser_sha256=browser_sha256,
        relying_party=relying_party,
        now=now,
    )


async def finish_enrolment(
    tx: Transaction,
    *,
    enrolment_token: str,
    credential: Json,
    browser: SigningInBrowser,
    relying_party: RelyingParty,
    lifetimes: Sessions,
    sealer: Sealer,
    now: datetime,
) -> SignedIn | Refusal:
    """Use an enrolment up: the account is real, has the passkey, and this browser is signed in.

    A refusal uses up the challenge alone.
    """
    token_sha256 = opaque_token.sha256(enrolment_token)
    try:
        proven = await registration.verify(
            tx,
            credential,
            purpose=_PURPOSE,
            browser_sha256=browser.sha256,
            relying_party=relying_party,
            now=now,
        )
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, now=now)
    if proven.ceremony.enrolment_sha256 != token_sha256:
        return await refuse(tx, EVENT, "challenge_of_other_enrolment", now=now)
    enrolment = await _find_enrolment(tx, token_sha256, browser_sha256=browser.sha256, now=now)
    if enrolment is None:
        return await refuse(tx, EVENT, ENROLMENT_UNAVAILABLE, now=now)
    if enrolment.kind == _FIRST_ADMINISTRATOR:
        # Set-ups that run at once queue here, and each looks again: one of them makes the administrator.
        await enrolments.lock_first_administrator(tx)
        if await accounts.has_administrator(tx):
            return await refuse(tx, EVENT, ENROLMENT_UNAVAILABLE, now=now)
    account = await accounts.lock(tx, account_id=enrolment.account_id)
    if account is None or account.status not in {"pending", "active"}:
        return await refuse(tx, EVENT, ENROLMENT_UNAVAILABLE, now=now)
    if reason := await registration.obstacle(tx, account, proven.passkey):
        return await refuse(tx, EVENT, reason, account_id=account.id, now=now)
    if await enrolments.use(tx, token_sha256=token_sha256, now=now) is None:
        return await refuse(tx, EVENT, ENROLMENT_UNAVAILABLE, now=now)
    stored = await registration.store(
        tx, account, proven.passkey, name=None, relying_party=relying_party, sealer=sealer, now=now
    )
    if stored is None:
        return await refuse(tx, EVENT, CREDENTIAL_KNOWN, account_id=account.id, now=now)
    await _settle(tx, account, enrolment, now=now)
    strength = authentication_strength.of_ceremony(
        is_user_verified=stored.user_verified, is_backup_eligible=stored.backup_eligible
    )
    return await sign_in.start(
        tx,
        account,
        credential_id=stored.id,
        strength=strength,
        browser=browser,
        lifetimes=lifetimes,
        now=now,
    )


async def _find_enrolment(
    tx: Transaction, token_sha256: bytes, *, browser_sha256: bytes, now: datetime
) -> Enrolment | None:
    enrolment = await enrolments.peek(tx, token_sha256=token_sha256, now=now)
    # A sign-up belongs to the browser that began it; a link is used wherever it was sent.
    if enrolment is None or enrolment.browser_sha256 not in {None, browser_sha256}:
        return None
    return enrolment


async def _settle(tx: Transaction, account: Account, enrolment: Enrolment, *, now: datetime) -> None:
    """Make the account real, and every other way to enrol for it void."""
    await accounts.activate(tx, account_id=account.id, now=now)
    await enrolments.end_of_account(tx, account_id=account.id, now=now)
    if enrolment.kind == _FIRST_ADMINISTRATOR:
        await enrolments.end_all_of_kind(tx, kind=_FIRST_ADMINISTRATOR, now=now)
    if account.status == "pending":
        details = {"kind": enrolment.kind}
        await audit.record(tx, ACTIVATED_EVENT, account_id=account.id, details=details, now=now)
