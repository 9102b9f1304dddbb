"""The steps that every new passkey takes, whoever it is for (WebAuthn L3 §7.1)."""

from dataclasses import dataclass
from datetime import datetime

from idp import audit
from idp.notifications import security_mail
from idp.notifications.outbox import Sealer
from idp.passkeys import ceremony_options, passkey_name
from idp.passkeys.ceremony_options import CHALLENGE_LIFETIME
from idp.passkeys.refusal import TOO_MANY_PASSKEYS, Refusal, refuse
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification import attestation, presented_credential
from idp.passkeys.verification.attestation import VerifiedPasskey
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.storage import ceremonies, credentials, email_addresses
from idp.storage.accounts import Account
from idp.storage.ceremonies import Ceremony
from idp.storage.credentials import Credential
from idp.storage.database import Transaction
from idp.web.parameters import Json

EVENT = "passkey_added"
CREDENTIAL_KNOWN = "credential_known"

MAX_PASSKEYS = 25
"""Of one account. Every one of them stands in the options of each ceremony."""


@dataclass(frozen=True, slots=True)
class ProvenPasskey:
    """A verified passkey and the ceremony, now used up, that it answers."""

    passkey: VerifiedPasskey
    ceremony: Ceremony


async def begin(
    tx: Transaction,
    account: Account,
    *,
    purpose: str,
    enrolment_sha256: bytes | None,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    now: datetime,
) -> dict[str, Json] | Refusal:
    """Hand out a challenge for a new passkey of the account."""
    existing = await credentials.of_account(tx, account_id=account.id)
    if len(existing) >= MAX_PASSKEYS:
        return await refuse(tx, EVENT, TOO_MANY_PASSKEYS, account_id=account.id, now=now)
    addresses = await email_addresses.of_account(tx, account_id=account.id)
    challenge = ceremony_options.new_challenge()
    await ceremonies.insert(
        tx,
        Ceremony(
            challenge=challenge,
            purpose=purpose,
            browser_sha256=browser_sha256,
            account_id=account.id,
            enrolment_sha256=enrolment_sha256,
            credential_ids=None,
            created_at=now,
            expires_at=now + CHALLENGE_LIFETIME,
        ),
    )
    return ceremony_options.creation_options(
        relying_party=relying_party,
        challenge=challenge,
        account=account,
        username=addresses[0].address if addresses else account.name,
        excluded=[credential for credential in existing if credential.rp_id == relying_party.id],
    )


async def verify(
    tx: Transaction,
    credential: Json,
    *,
    purpose: str,
    browser_sha256: bytes,
    relying_party: RelyingParty,
    now: datetime,
) -> ProvenPasskey:
    """Use the challenge up and verify what answers it; raises CeremonyError, which must not leave `tx`."""
    ceremony = await ceremonies.use(
        tx,
        presented_challenge=presented_credential.presented_challenge(credential),
        purpose=purpose,
        browser_sha256=browser_sha256,
        now=now,
    )
    if ceremony is None:
        raise CeremonyError("challenge_unknown")
    passkey = attestation.verify(
        presented_credential.read_registration(credential),
        expected_challenge=ceremony.challenge,
        relying_party=relying_party,
    )
    return ProvenPasskey(passkey=passkey, ceremony=ceremony)


async def obstacle(tx: Transaction, account: Account, passkey: VerifiedPasskey) -> str | None:
    """Name what keeps a verified passkey from the account, before anything is written."""
    # WebAuthn L3 §7.1 (credentialId): one passkey is one account's.
    if await credentials.find(tx, credential_id=passkey.id) is not None:
        return CREDENTIAL_KNOWN
    if len(await credentials.of_account(tx, account_id=account.id)) >= MAX_PASSKEYS:
        return TOO_MANY_PASSKEYS
    return None


async def store(
    tx: Transaction,
    account: Account,
    passkey: VerifiedPasskey,
    *,
    name: str | None,
    relying_party: RelyingParty,
    sealer: Sealer,
    now: datetime,
) -> Credential | None:
    """Remember the passkey, record it and tell the person; None when its id was given away meanwhile."""
    credential = Credential(
        id=passkey.id,
        account_id=account.id,
        rp_id=relying_party.id,
        public_key=passkey.public_key,
        sign_count=passkey.sign_count,
        transports=[*passkey.transports],
        aaguid=passkey.aaguid,
        backup_eligible=passkey.is_backup_eligible,
        backed_up=passkey.is_backed_up,
        user_verified=passkey.is_user_verified,
        name=name or passkey_name.of_authenticator(passkey.aaguid),
        suspected_clone_at=None,
        created_at=now,
        last_used_at=None,
    )
    if not await credentials.insert(tx, credential):
        return None
    details = {"name": credential.name, "aaguid": credential.aaguid, "synced": credential.backup_eligible}
    await audit.record(tx, EVENT, account_id=account.id, details=details, now=now)
    await security_mail.tell(
        tx,
        "passkey_added",
        account_id=account.id,
        values={"passkey_name": credential.name},
        sealer=sealer,
        now=now,
    )
    return credential
