"""Sign-in: any passkey of this device, one of an address, or one of the person who is here already."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from idp import audit, opaque_token
from idp.passkeys import authentication_strength, ceremony_options, decoys, sign_in
from idp.passkeys.ceremony_options import CHALLENGE_LIFETIME
from idp.passkeys.refusal import CREDENTIAL_REMOVED, Refusal, refuse
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.sign_in import SignedIn, SigningInBrowser
from idp.passkeys.verification import assertion, presented_credential
from idp.passkeys.verification.assertion import VerifiedAssertion
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.passkeys.verification.presented_credential import PresentedAssertion
from idp.settings import Sessions
from idp.storage import accounts, ceremonies, credentials, email_addresses, passkey_nudges
from idp.storage.accounts import Account
from idp.storage.ceremonies import Ceremony
from idp.storage.credentials import Credential
from idp.storage.database import Transaction
from idp.web.parameters import Json

EVENT = "sign_in"
CLONE_EVENT = "passkey_clone_suspected"

_PURPOSE = "sign_in"
# An address that nobody verified may be claimed by many; so many of them are offered.
_MAX_CLAIMANTS = 8


async def begin_sign_in(
    tx: Transaction, *, browser_sha256: bytes, relying_party: RelyingParty, now: datetime
) -> dict[str, Json]:
    """Hand out a challenge that any passkey of ours may answer."""
    return await _begin(tx, None, browser_sha256=browser_sha256, relying_party=relying_party, now=now)


async def begin_sign_in_of_address(
    tx: Transaction,
    *,
    normalized_address: str,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    decoy_key: bytes,
    now: datetime,
) -> dict[str, Json]:
    """Hand out a challenge for the passkeys behind an address, or for decoys: nobody can tell which.

    The same queries run whoever has the address, if anyone.
    """
    holder = await email_addresses.holder(tx, normalized=normalized_address)
    claimants = await email_addresses.claimants(tx, normalized=normalized_address, limit=_MAX_CLAIMANTS)
    # Whoever verified the address has it; a mere claim beside it must not bring in a stranger's passkeys.
    account_ids = [holder] if holder else claimants
    known = await credentials.of_accounts(tx, account_ids=account_ids)
    ours = [credential.id for credential in known if credential.rp_id == relying_party.id]
    allowed = decoys.mix(ours, normalized_address=normalized_address, key=decoy_key)
    return await _begin(tx, allowed, browser_sha256=browser_sha256, relying_party=relying_party, now=now)


async def finish_sign_in(
    tx: Transaction,
    *,
    credential: Json,
    browser: SigningInBrowser,
    relying_party: RelyingParty,
    lifetimes: Sessions,
    nudge_interval: timedelta,
    now: datetime,
) -> SignedIn | Refusal:
    """Verify an assertion and sign the browser in, or say why not; the challenge is used up either way."""
    try:
        challenge = presented_credential.presented_challenge(credential)
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, now=now)
    ceremony = await ceremonies.use(
        tx, presented_challenge=challenge, purpose=_PURPOSE, browser_sha256=browser.sha256, now=now
    )
    if ceremony is None:
        return await refuse(tx, EVENT, "challenge_unknown", now=now)
    try:
        presented = presented_credential.read_assertion(credential)
        _check_expected(presented, ceremony)
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, now=now)
    known = await credentials.lock(tx, credential_id=presented.id)
    if known is None:
        return await _refuse_unknown(tx, presented, ceremony, relying_party=relying_party, now=now)
    account = await accounts.find(tx, account_id=known.account_id)
    if account is None:
        return await refuse(tx, EVENT, "account_unavailable", now=now)
    try:
        verified = _verify(presented, ceremony, known=known, account=account, relying_party=relying_party)
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, account_id=known.account_id, now=now)
    await record_use(tx, known, verified, now=now)
    strength = authentication_strength.of_ceremony(
        is_user_verified=verified.is_user_verified, is_backup_eligible=verified.is_backup_eligible
    )
    signed_in = await sign_in.start(
        tx,
        account,
        credential_id=known.id,
        strength=strength,
        browser=browser,
        lifetimes=lifetimes,
        now=now,
    )
    is_offered = presented_credential.claims_other_device(credential) and await passkey_nudges.take(
        tx, account_id=account.id, unless_since=now - nudge_interval, now=now
    )
    return replace(signed_in, is_offered_passkey=is_offered)


async def _begin(
    tx: Transaction,
    allowed: list[bytes] | None,
    *,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    now: datetime,
) -> dict[str, Json]:
    challenge = ceremony_options.new_challenge()
    await ceremonies.insert(
        tx,
        Ceremony(
            challenge=challenge,
            purpose=_PURPOSE,
            browser_sha256=browser_sha256,
            account_id=None,
            enrolment_sha256=None,
            credential_ids=None if allowed is None else [opaque_token.encode(value) for value in allowed],
            created_at=now,
            expires_at=now + CHALLENGE_LIFETIME,
        ),
    )
    return ceremony_options.request_options(relying_party=relying_party, challenge=challenge, allowed=allowed)


def _check_expected(presented: PresentedAssertion, ceremony: Ceremony) -> None:
    # WebAuthn L3 §7.2 (allowCredentials): only a passkey that the options named may answer them.
    if ceremony.credential_ids is not None:
        if opaque_token.encode(presented.id) not in ceremony.credential_ids:
            raise CeremonyError("credential_not_expected")
    # WebAuthn L3 §7.2 (userHandle): where any passkey may answer, it must say whose it is.
    elif presented.user_handle is None:
        raise CeremonyError("user_handle_missing")


def _verify(
    presented: PresentedAssertion,
    ceremony: Ceremony,
    *,
    known: Credential,
    account: Account,
    relying_party: RelyingParty,
) -> VerifiedAssertion:
    # First the signature, whatever else is wrong: an unknown passkey's refusal takes one verification too.
    verified = assertion.verify(
        presented,
        public_key=known.public_key,
        expected_challenge=ceremony.challenge,
        relying_party=relying_party,
    )
    # WebAuthn L3 §7.2 (userHandle): the passkey's own word of whose it is must be ours too.
    if presented.user_handle is not None and presented.user_handle != account.user_handle:
        raise CeremonyError("user_handle_mismatch")
    if known.rp_id != relying_party.id:
        raise CeremonyError("credential_of_other_rp_id")
    if account.status != "active":
        raise CeremonyError("account_unavailable")
    # WebAuthn L3 §6.1.3: backup eligibility is settled when the passkey is made.
    if verified.is_backup_eligible != known.backup_eligible:
        raise CeremonyError("backup_eligibility_changed")
    return verified


async def record_use(
    tx: Transaction, known: Credential, verified: VerifiedAssertion, *, now: datetime
) -> None:
    """Remember what a verified assertion said of its passkey; a counter like a clone's is marked."""
    # WebAuthn L3 §7.2 (signCount): a count that did not grow may mean a clone; we record it and go on. Two
    # zeros are an authenticator that does not count.
    is_suspect = max(verified.sign_count, known.sign_count) > 0 and verified.sign_count <= known.sign_count
    if is_suspect:
        await audit.record(tx, CLONE_EVENT, account_id=known.account_id, now=now)
    await credentials.record_use(
        tx,
        credential_id=known.id,
        sign_count=max(verified.sign_count, known.sign_count),
        backed_up=verified.is_backed_up,
        suspected_clone_at=now if is_suspect else known.suspected_clone_at,
        now=now,
    )


async def _refuse_unknown(
    tx: Transaction,
    presented: PresentedAssertion,
    ceremony: Ceremony,
    *,
    relying_party: RelyingParty,
    now: datetime,
) -> Refusal:
    """Refuse a passkey that no account has, with as much work as one that an account has.

    Only who knows a random user handle of ours, which the options of a sign-in never show, learns that the
    passkey was removed: an id alone must not tell a decoy from a real one.
    """
    account = await accounts.find_by_user_handle(tx, user_handle=presented.user_handle or b"")
    if account is not None and account.status == "active":
        return await refuse(tx, EVENT, CREDENTIAL_REMOVED, account_id=account.id, now=now)
    with suppress(CeremonyError):
        assertion.verify(
            presented,
            public_key=assertion.NOBODYS_PUBLIC_KEY,
            expected_challenge=ceremony.challenge,
            relying_party=relying_party,
        )
    return await refuse(tx, EVENT, "credential_unknown", now=now)
