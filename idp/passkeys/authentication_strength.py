"""What a ceremony proves, in the words that clients read in `amr` and `acr`.

amr: RFC 8176 §2 (hwk, swk, user, mfa). acr: OpenID Connect EAP ACR Values 1.0 §2 (phr, phrh) and, for a touch
without fingerprint, face or PIN, a word of our own that claims nothing more: `presence`.
"""

from dataclasses import dataclass

HARDWARE_KEY = "hwk"
SOFTWARE_KEY = "swk"
USER_PRESENCE = "user"
MULTIPLE_FACTORS = "mfa"

PHISHING_RESISTANT_HARDWARE = "phrh"
PHISHING_RESISTANT = "phr"
PRESENCE = "presence"

ACR_VALUES = (PRESENCE, PHISHING_RESISTANT, PHISHING_RESISTANT_HARDWARE)
"""Every `acr` that a sign-in can have, the weakest first."""


@dataclass(frozen=True, slots=True)
class AuthenticationStrength:
    """The `amr` and `acr` of one sign-in."""

    amr: tuple[str, ...]
    acr: str


def of_ceremony(*, is_user_verified: bool, is_backup_eligible: bool) -> AuthenticationStrength:
    """Answer what may be claimed: a passkey that can be copied is software, one bound to its device hardware.

    No attestation is asked for, so "hardware" is the authenticator's own word (docs/passkeys.md).
    """
    key = SOFTWARE_KEY if is_backup_eligible else HARDWARE_KEY
    # Without user verification there was one factor, whatever the key.
    if not is_user_verified:
        return AuthenticationStrength(amr=(key, USER_PRESENCE), acr=PRESENCE)
    acr = PHISHING_RESISTANT if is_backup_eligible else PHISHING_RESISTANT_HARDWARE
    return AuthenticationStrength(amr=(key, USER_PRESENCE, MULTIPLE_FACTORS), acr=acr)
