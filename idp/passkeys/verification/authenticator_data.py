import hashlib
from dataclasses import dataclass
from uuid import UUID

from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification import ctap_cbor
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.passkeys.verification.ctap_cbor import Cbor

MAX_CREDENTIAL_ID_LENGTH = 1023  # WebAuthn L3 §4 (Credential ID).
# Below 2048 bits RSA is weak; above 4096 bits a verification costs us more than it costs the sender.
RSA_MODULUS_LENGTHS = range(256, 513)

_FIXED_LENGTH = 37  # WebAuthn L3 §6.1: rpIdHash, flags, signCount.
_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
_AAGUID_LENGTH = 16
_COORDINATE_LENGTH = 32


@dataclass(frozen=True, slots=True)
class AttestedCredential:
    """The passkey that an authenticator made."""

    aaguid: str
    id: bytes


@dataclass(frozen=True, slots=True)
class AuthenticatorData:
    """What an authenticator says of one ceremony (WebAuthn L3 §6.1)."""

    rp_id_sha256: bytes
    is_user_present: bool
    is_user_verified: bool
    is_backup_eligible: bool
    is_backed_up: bool
    sign_count: int
    attested_credential: AttestedCredential | None


def parse(data: bytes) -> AuthenticatorData:
    """Read authenticator data to its last byte; raises CeremonyError."""
    if len(data) < _FIXED_LENGTH:
        raise CeremonyError("authenticator_data_malformed")
    flags, end = data[32], _FIXED_LENGTH
    attested = None
    if flags & _AT:
        attested, end = _attested_credential(data, end)
    if flags & _ED:
        extensions, end = ctap_cbor.decode_first(data, start=end)
        if not isinstance(extensions, dict):
            raise CeremonyError("authenticator_data_malformed")
    if end != len(data):
        raise CeremonyError("authenticator_data_malformed")
    return AuthenticatorData(
        rp_id_sha256=data[:32],
        is_user_present=bool(flags & _UP),
        is_user_verified=bool(flags & _UV),
        is_backup_eligible=bool(flags & _BE),
        is_backed_up=bool(flags & _BS),
        sign_count=int.from_bytes(data[33:37], "big"),
        attested_credential=attested,
    )


def check(data: AuthenticatorData, *, relying_party: RelyingParty) -> None:
    """Refuse what was not made for us, with the person present (and verified); raises CeremonyError."""
    # WebAuthn L3 §7.1, §7.2 (rpIdHash).
    if data.rp_id_sha256 != hashlib.sha256(relying_party.id.encode()).digest():
        raise CeremonyError("rp_id_hash_mismatch")
    # WebAuthn L3 §7.1, §7.2 (UP).
    if not data.is_user_present:
        raise CeremonyError("user_not_present")
    # WebAuthn L3 §7.1, §7.2 (UV): what the options asked for a script can change, so it is asked again here.
    if relying_party.requires_user_verification and not data.is_user_verified:
        raise CeremonyError("user_not_verified")
    # WebAuthn L3 §6.1.3: what cannot be backed up is not backed up.
    if data.is_backed_up and not data.is_backup_eligible:
        raise CeremonyError("backup_flags_inconsistent")


def _attested_credential(data: bytes, at: int) -> tuple[AttestedCredential, int]:
    aaguid = data[at : at + _AAGUID_LENGTH]
    at += _AAGUID_LENGTH
    declared_length = int.from_bytes(data[at : at + 2], "big")
    at += 2
    credential_id = data[at : at + declared_length]
    at += declared_length
    # Slices end quietly where the data does: the declared length is held against what is there.
    if at >= len(data):
        raise CeremonyError("authenticator_data_malformed")
    if not 1 <= declared_length <= MAX_CREDENTIAL_ID_LENGTH:
        raise CeremonyError("credential_id_length")
    public_key, end = ctap_cbor.decode_first(data, start=at)
    _check_public_key(public_key)
    return AttestedCredential(aaguid=str(UUID(bytes=aaguid)), id=credential_id), end


def _check_public_key(key: Cbor) -> None:
    """Refuse all but ES256, EdDSA and RS256 keys, each with exactly its members (WebAuthn L3 §6.5.1.1)."""
    if not isinstance(key, dict):
        raise CeremonyError("public_key_not_accepted")
    match key:
        # RFC 9053 §7.1, §2.1: EC2 on P-256 for ES256.
        case {1: 2, 3: -7, -1: 1, -2: bytes(x), -3: bytes(y)} if len(key) == 5:  # noqa: PLR2004 - named
            is_sound = len(x) == len(y) == _COORDINATE_LENGTH
        # RFC 9053 §7.2, §2.2: OKP on Ed25519 for EdDSA.
        case {1: 1, 3: -8, -1: 6, -2: bytes(x)} if len(key) == 4:  # noqa: PLR2004 - named
            is_sound = len(x) == _COORDINATE_LENGTH
        # RFC 8230 §4, RFC 8812 §2: RSA for RS256; another exponent than 65537 is a trick or a burden.
        case {1: 3, 3: -257, -1: bytes(modulus), -2: b"\x01\x00\x01"} if len(key) == 4:  # noqa: PLR2004 - named
            is_sound = len(modulus) in RSA_MODULUS_LENGTHS
        case _:
            raise CeremonyError("public_key_not_accepted")
    if not is_sound:
        raise CeremonyError("public_key_not_accepted")
