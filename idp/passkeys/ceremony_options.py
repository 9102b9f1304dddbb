from collections.abc import Sequence
from datetime import timedelta

from idp import opaque_token
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification.attestation import ALGORITHMS
from idp.passkeys.verification.client_data import CHALLENGE_LENGTH
from idp.storage.accounts import Account
from idp.storage.credentials import Credential
from idp.web.parameters import Json

CHALLENGE_LIFETIME = timedelta(minutes=5)  # WebAuthn L3 §15.1: the upper end of what is recommended.
_TIMEOUT_MILLISECONDS = CHALLENGE_LIFETIME // timedelta(milliseconds=1)

_SECURITY_KEY = frozenset({"ble", "nfc", "smart-card", "usb"})


def new_challenge() -> bytes:
    """Draw a challenge (WebAuthn L3 §13.4.3 asks for 16 bytes at least)."""
    return opaque_token.random_bytes(CHALLENGE_LENGTH)


def creation_options(
    *,
    relying_party: RelyingParty,
    challenge: bytes,
    account: Account,
    username: str,
    excluded: Sequence[Credential],
) -> dict[str, Json]:
    """Spell PublicKeyCredentialCreationOptionsJSON (WebAuthn L3 §5.1.9)."""
    return {
        "rp": {"id": relying_party.id, "name": relying_party.name},
        "user": {
            "id": opaque_token.encode(account.user_handle),
            "name": username,
            "displayName": account.name,
        },
        "challenge": opaque_token.encode(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": int(algorithm)} for algorithm in ALGORITHMS],
        "timeout": _TIMEOUT_MILLISECONDS,
        "excludeCredentials": [
            _descriptor(credential.id) | {"transports": [*credential.transports]} for credential in excluded
        ],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": relying_party.user_verification,
        },
        "attestation": "none",
    }


def request_options(
    *, relying_party: RelyingParty, challenge: bytes, allowed: Sequence[bytes] | None
) -> dict[str, Json]:
    """Spell PublicKeyCredentialRequestOptionsJSON (WebAuthn L3 §5.1.10); `allowed` None: any passkey here."""
    options: dict[str, Json] = {
        "challenge": opaque_token.encode(challenge),
        "timeout": _TIMEOUT_MILLISECONDS,
        "rpId": relying_party.id,
        "userVerification": relying_party.user_verification,
    }
    if allowed is not None:
        options["allowCredentials"] = [_descriptor(credential_id) for credential_id in allowed]
    return options


def confirmation_options(
    *, relying_party: RelyingParty, challenge: bytes, allowed: Sequence[Credential], lifetime: timedelta
) -> dict[str, Json]:
    """Spell PublicKeyCredentialRequestOptionsJSON for passkeys of a person who is known already."""
    return request_options(relying_party=relying_party, challenge=challenge, allowed=None) | {
        "timeout": lifetime // timedelta(milliseconds=1),
        # The person is known, so how each passkey is reached is no secret, and spares them a choice.
        "allowCredentials": [
            _descriptor(credential.id) | {"transports": [*credential.transports]} for credential in allowed
        ],
        "hints": [*hints_for([credential.transports for credential in allowed])],
    }


def hints_for(transports: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Answer where a browser should look first (WebAuthn L3 §5.8.7); empty when the passkeys differ in that.

    `transports` of each passkey that may answer.
    """
    kinds = {frozenset(one) for one in transports}
    if kinds and all(kind and kind <= _SECURITY_KEY for kind in kinds):
        return ("security-key",)
    if kinds and all("internal" in kind for kind in kinds):
        return ("client-device", "hybrid")
    return ()


def _descriptor(credential_id: bytes) -> dict[str, Json]:
    return {"type": "public-key", "id": opaque_token.encode(credential_id)}
