from dataclasses import dataclass

from webauthn import verify_authentication_response
from webauthn.helpers.structs import AuthenticationCredential, AuthenticatorAssertionResponse

from idp import opaque_token
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification import authenticator_data, client_data
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.passkeys.verification.library_faults import LIBRARY_FAULTS
from idp.passkeys.verification.presented_credential import PresentedAssertion

# P-256's own base point, a key of nobody: measured against it, an unknown passkey takes as long to refuse
# as a wrong signature of a known one.
NOBODYS_PUBLIC_KEY = bytes.fromhex(
    "a5010203262001"
    "2158206b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "2258204fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """The holder of the passkey answered this challenge, for us, present (and verified)."""

    sign_count: int
    is_user_verified: bool
    is_backup_eligible: bool
    is_backed_up: bool


def verify(
    presented: PresentedAssertion,
    *,
    public_key: bytes,
    expected_challenge: bytes,
    relying_party: RelyingParty,
) -> VerifiedAssertion:
    """Verify an assertion by a passkey's key (WebAuthn L3 §7.2); raises CeremonyError.

    Whose passkey it is, whether it was asked for, and what its counter means is the caller's to judge.
    """
    client_data.check(presented.client_data, expected_type=client_data.GET, relying_party=relying_party)
    data = authenticator_data.parse(presented.authenticator_data)
    authenticator_data.check(data, relying_party=relying_party)
    # WebAuthn L3 §6.1 (attestedCredentialData): an assertion has none.
    if data.attested_credential is not None:
        raise CeremonyError("authenticator_data_malformed")
    credential = AuthenticationCredential(
        id=opaque_token.encode(presented.id),
        raw_id=presented.id,
        response=AuthenticatorAssertionResponse(
            client_data_json=presented.client_data_json,
            authenticator_data=presented.authenticator_data,
            signature=presented.signature,
        ),
    )
    try:
        verify_authentication_response(
            credential=credential,
            expected_challenge=expected_challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            credential_public_key=public_key,
            # The library judges the counter before the signature, and would refuse. Zero passes every count:
            # the caller judges it, once the signature is known to be good.
            credential_current_sign_count=0,
            require_user_verification=relying_party.requires_user_verification,
        )
    except LIBRARY_FAULTS as fault:
        raise CeremonyError("signature_not_verified") from fault
    return VerifiedAssertion(
        sign_count=data.sign_count,
        is_user_verified=data.is_user_verified,
        is_backup_eligible=data.is_backup_eligible,
        is_backed_up=data.is_backed_up,
    )
