"""What a password manager is told of a person's passkeys (WebAuthn L3 §5.1.10, Signal API)."""

from idp import opaque_token
from idp.passkeys.relying_party import RelyingParty
from idp.storage import accounts, credentials, email_addresses
from idp.storage.database import Transaction
from idp.web.parameters import Json


async def accepted_passkeys(
    tx: Transaction, *, account_id: str, relying_party: RelyingParty
) -> dict[str, Json] | None:
    """Answer every passkey that the account accepts, and what it calls itself; None without an account.

    All of them in one reading: the password manager hides whatever is not in the list.
    """
    account = await accounts.find(tx, account_id=account_id)
    if account is None or account.status != "active":
        return None
    known = await credentials.of_account(tx, account_id=account_id)
    addresses = await email_addresses.of_account(tx, account_id=account_id)
    return {
        "rpId": relying_party.id,
        "userId": opaque_token.encode(account.user_handle),
        "allAcceptedCredentialIds": [
            opaque_token.encode(credential.id) for credential in known if credential.rp_id == relying_party.id
        ],
        "name": addresses[0].address if addresses else account.name,
        "displayName": account.name,
    }
