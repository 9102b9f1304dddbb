"""Confirmation: a passkey of the person who is signed in answers the challenge of one operation (step-up)."""

import hashlib
from dataclasses import replace
from datetime import datetime

from idp import audit, opaque_token
from idp.passkeys import authentication, ceremony_options
from idp.passkeys.refusal import OPERATION_UNAVAILABLE, SIGNED_OUT, Refusal, refuse
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification import assertion, client_data, presented_credential
from idp.passkeys.verification.assertion import VerifiedAssertion
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.passkeys.verification.presented_credential import PresentedAssertion
from idp.sessions import confirmation
from idp.storage import accounts, confirmations, credentials
from idp.storage.accounts import Account
from idp.storage.browser_sessions import BrowserSession
from idp.storage.confirmations import Confirmation, Receipt
from idp.storage.credentials import Credential
from idp.storage.database import Transaction
from idp.web.parameters import Json

EVENT = "operation_confirmed"


async def begin_confirmation(
    tx: Transaction,
    *,
    operation_id: str,
    session: BrowserSession,
    relying_party: RelyingParty,
    now: datetime,
) -> dict[str, Json] | Refusal:
    """Answer the options by which the account's own passkeys, and no others, confirm the operation."""
    waiting = await confirmations.find_open(
        tx, confirmation_id=operation_id, account_id=session.account_id, session_id=session.id, now=now
    )
    if waiting is None:
        return await refuse(tx, EVENT, OPERATION_UNAVAILABLE, account_id=session.account_id, now=now)
    known = await credentials.of_account(tx, account_id=session.account_id)
    return ceremony_options.confirmation_options(
        relying_party=_strict(relying_party),
        challenge=confirmation.challenge_of(waiting.operation),
        allowed=[credential for credential in known if credential.rp_id == relying_party.id],
        lifetime=waiting.expires_at - now,
    )


async def finish_confirmation(
    tx: Transaction,
    *,
    operation_id: str,
    credential: Json,
    session: BrowserSession,
    relying_party: RelyingParty,
    now: datetime,
) -> Confirmation | Refusal:
    """Verify the answer and keep its receipt; the operation's one answer is used up either way."""
    waiting = await confirmations.answer(
        tx, confirmation_id=operation_id, account_id=session.account_id, session_id=session.id, now=now
    )
    if waiting is None:
        return await refuse(tx, EVENT, OPERATION_UNAVAILABLE, account_id=session.account_id, now=now)
    account = await accounts.lock(tx, account_id=session.account_id)
    if account is None or account.status != "active" or account.token_epoch != session.account_epoch:
        return await refuse(tx, EVENT, SIGNED_OUT, account_id=session.account_id, now=now)
    try:
        presented = presented_credential.read_assertion(credential)
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, account_id=account.id, now=now)
    known = await credentials.lock(tx, credential_id=presented.id)
    # WebAuthn L3 §7.2 (allowCredentials): only a passkey of this account, for this relying party.
    if known is None or known.account_id != account.id or known.rp_id != relying_party.id:
        return await refuse(tx, EVENT, "credential_not_expected", account_id=account.id, now=now)
    try:
        verified = _verify(presented, waiting, known=known, account=account, relying_party=relying_party)
    except CeremonyError as fault:
        return await refuse(tx, EVENT, fault.reason, account_id=account.id, now=now)
    await authentication.record_use(tx, known, verified, now=now)
    receipt = Receipt(
        id=waiting.id,
        account_id=account.id,
        operation=waiting.operation,
        credential_id=known.id,
        public_key=known.public_key,
        rp_id=known.rp_id,
        origins=[*relying_party.origins],
        client_data_json=presented.client_data_json,
        authenticator_data=presented.authenticator_data,
        signature=presented.signature,
        confirmed_at=now,
    )
    await confirmations.confirm(tx, receipt)
    details = {"operation": waiting.kind, "receipt": receipt.id, "receipt_sha256": digest(receipt)}
    await audit.record(tx, EVENT, account_id=account.id, details=details, now=now)
    return waiting


def verify_receipt(receipt: Receipt) -> None:
    """Verify a confirmation again from its receipt alone; raises CeremonyError."""
    presented = PresentedAssertion(
        id=receipt.credential_id,
        client_data_json=receipt.client_data_json,
        client_data=client_data.parse(receipt.client_data_json),
        authenticator_data=receipt.authenticator_data,
        signature=receipt.signature,
        user_handle=None,
    )
    assertion.verify(
        presented,
        public_key=receipt.public_key,
        expected_challenge=confirmation.challenge_of(receipt.operation),
        relying_party=RelyingParty(
            id=receipt.rp_id, name="", origins=tuple(receipt.origins), user_verification="required"
        ),
    )


def digest(receipt: Receipt) -> str:
    """Answer the digest by which the audit log holds a receipt to what it was."""
    parts = (
        receipt.operation,
        receipt.credential_id,
        receipt.public_key,
        receipt.client_data_json,
        receipt.authenticator_data,
        receipt.signature,
    )
    # Each part's own digest first: where one ends and the next begins is then no question.
    return opaque_token.encode(
        hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    )


def _verify(
    presented: PresentedAssertion,
    waiting: Confirmation,
    *,
    known: Credential,
    account: Account,
    relying_party: RelyingParty,
) -> VerifiedAssertion:
    verified = assertion.verify(
        presented,
        public_key=known.public_key,
        # From the operation itself, not from a column beside it: one byte changed is another challenge.
        expected_challenge=confirmation.challenge_of(waiting.operation),
        relying_party=_strict(relying_party),
    )
    # WebAuthn L3 §7.2 (userHandle): the passkey's own word of whose it is must be ours too.
    if presented.user_handle is not None and presented.user_handle != account.user_handle:
        raise CeremonyError("user_handle_mismatch")
    # WebAuthn L3 §6.1.3: backup eligibility is settled when the passkey is made.
    if verified.is_backup_eligible != known.backup_eligible:
        raise CeremonyError("backup_eligibility_changed")
    return verified


def _strict(relying_party: RelyingParty) -> RelyingParty:
    """What cannot be undone needs a verified person, also where signing in does not."""
    return replace(relying_party, user_verification="required")
