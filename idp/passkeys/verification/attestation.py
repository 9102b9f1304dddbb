from dataclasses import dataclass

from webauthn import verify_registration_response
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import AuthenticatorAttestationResponse, RegistrationCredential
from webauthn.registration.verify_registration_response import VerifiedRegistration

from idp import opaque_token
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification import authenticator_data, client_data, ctap_cbor
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.passkeys.verification.library_faults import LIBRARY_FAULTS
from idp.passkeys.verification.presented_credential import PresentedRegistration

ALGORITHMS = (
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)


@dataclass(frozen=True, slots=True)
class VerifiedPasskey:
    """A new passkey that was made for us, for this challenge, with the person present."""

    id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    is_user_verified: bool
    is_backup_eligible: bool
    is_backed_up: bool
    transports: tuple[str, ...]


def verify(
    presented: PresentedRegistration, *, expected_challenge: bytes, relying_party: RelyingParty
) -> VerifiedPasskey:
    """Verify a registration (WebAuthn L3 §7.1); raises CeremonyError."""
    client_data.check(presented.client_data, expected_type=client_data.CREATE, relying_party=relying_party)
    data = authenticator_data.parse(_authenticator_data(presented.attestation_object))
    authenticator_data.check(data, relying_party=relying_party)
    attested = data.attested_credential
    if attested is None or attested.id != presented.id:
        raise CeremonyError("credential_id_mismatch")
    verified = _verified_by_library(
        presented, expected_challenge=expected_challenge, relying_party=relying_party
    )
    return VerifiedPasskey(
        id=attested.id,
        public_key=verified.credential_public_key,
        sign_count=data.sign_count,
        aaguid=attested.aaguid,
        is_user_verified=data.is_user_verified,
        is_backup_eligible=data.is_backup_eligible,
        is_backed_up=data.is_backed_up,
        transports=presented.transports,
    )


def _authenticator_data(attestation_object: bytes) -> bytes:
    """Take the attestation object apart; refuse a statement that we have not asked for."""
    match ctap_cbor.decode(attestation_object):
        # WebAuthn L3 §8.7: "none" has an empty statement.
        case {"fmt": "none", "attStmt": dict(statement), "authData": bytes(data), **rest}:
            is_accepted = not statement
        # WebAuthn L3 §5.1.3 (attestation none): a browser lets self attestation pass, for it names no model.
        case {"fmt": "packed", "attStmt": dict(statement), "authData": bytes(data), **rest}:
            is_accepted = statement.keys() == {"alg", "sig"}
        case {"fmt": str(), "attStmt": dict(), "authData": bytes()}:
            raise CeremonyError("attestation_not_accepted")
        case _:
            raise CeremonyError("attestation_object_malformed")
    if rest:
        raise CeremonyError("attestation_object_malformed")
    if not is_accepted:
        raise CeremonyError("attestation_not_accepted")
    return data


def _verified_by_library(
    presented: PresentedRegistration, *, expected_challenge: bytes, relying_party: RelyingParty
) -> VerifiedRegistration:
    credential = RegistrationCredential(
        id=opaque_token.encode(presented.id),
        raw_id=presented.id,
        response=AuthenticatorAttestationResponse(
            client_data_json=presented.client_data_json, attestation_object=presented.attestation_object
        ),
    )
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=expected_challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            require_user_verification=relying_party.requires_user_verification,
            supported_pub_key_algs=list(ALGORITHMS),
        )
        # Without a statement nothing has used the key yet: one that is no point on its curve is found here.
        decoded_public_key_to_cryptography(decode_credential_public_key(verified.credential_public_key))
    except LIBRARY_FAULTS as fault:
        raise CeremonyError("registration_not_verified") from fault
    return verified
