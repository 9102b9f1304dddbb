"""A passkey in software: answers WebAuthn options as a browser does, and lies exactly where a test says so.

Written from WebAuthn L3 alone, without py_webauthn, so that the two check each other.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Json: TypeAlias = dict[str, Any]  # Any: the members of WebAuthn's JSON are of many types.
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

NO_AAGUID = bytes(16)


class Algorithm(IntEnum):
    """COSE algorithm identifiers (RFC 9053, RFC 8812)."""

    ES256 = -7
    EDDSA = -8
    RS256 = -257


class Flag(IntFlag):
    """WebAuthn L3 §6.1 (flags)."""

    UP = 0x01
    UV = 0x04
    BE = 0x08
    BS = 0x10
    AT = 0x40
    ED = 0x80


class NotAllowedError(Exception):
    """What a browser says when no passkey here may answer."""


class InvalidStateError(Exception):
    """What a browser says when a passkey of the account is here already."""


class _Spoilt(TypedDict, total=False):
    """What a test may spoil in either ceremony; whatever is left out stays right."""

    type: str
    challenge: str
    """As clientDataJSON spells it: base64url."""
    cross_origin: bool | None
    """None leaves the member out."""
    top_origin: str
    client_data: Json
    """Members that are added to clientDataJSON, or replace others."""
    client_data_json: bytes
    """The whole of it; what follows is computed over these bytes."""
    rp_id: str
    rp_id_hash: bytes
    flags: int
    """The whole byte; it wins over the single flags."""
    user_present: bool
    user_verified: bool
    backup_eligible: bool
    backed_up: bool
    sign_count: int
    extra_bytes: bytes
    """Appended to the authenticator data, and signed with it."""
    authenticator_data: bytes
    """The whole of it; what follows is computed over these bytes."""
    credential_id: bytes
    """Wherever the credential id stands."""
    id: str
    """The JSON member alone."""
    raw_id: str
    """The JSON member alone."""
    credential_type: str
    client_extension_results: Json
    authenticator_attachment: str | None


class CreationSpoilt(_Spoilt, total=False):
    """What a test may spoil in a registration."""

    attested: bool
    """Whether the flag AT is set; the attested credential data stays."""
    aaguid: bytes
    public_key: bytes
    """The COSE key's bytes in the attested credential data."""
    format: str
    """`none`, `packed` (self attestation), or any other name with `attestation_statement`."""
    attestation_statement: Json
    attestation_object: bytes
    """The whole of it, raw."""
    transports: list[str]


class RequestSpoilt(_Spoilt, total=False):
    """What a test may spoil in an authentication."""

    user_handle: bytes | None
    """None leaves the member out."""
    signature: bytes


@dataclass(slots=True)
class SoftwarePasskey:
    """One credential with its private key."""

    id: bytes
    rp_id: str
    user_handle: bytes
    algorithm: Algorithm
    private_key: PrivateKey
    sign_count: int = 0

    @property
    def public_key(self) -> bytes:
        """The public half as COSE spells it, in canonical CBOR."""
        return cbor2.dumps(_cose_key(self.private_key), canonical=True)

    def sign(self, message: bytes) -> bytes:
        """Sign with the private key, as the algorithm says."""
        if isinstance(self.private_key, ec.EllipticCurvePrivateKey):
            return self.private_key.sign(message, ec.ECDSA(hashes.SHA256()))
        if isinstance(self.private_key, ed25519.Ed25519PrivateKey):
            return self.private_key.sign(message)
        return self.private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())


class SoftwareAuthenticator:
    """A platform authenticator with any number of discoverable passkeys, which verifies its user.

    Synced (`backed_up`) and without a counter, as most passkeys are, unless told otherwise.
    """

    def __init__(self, *, backed_up: bool = True, counts: bool = False, aaguid: bytes = NO_AAGUID) -> None:
        self.passkeys: list[SoftwarePasskey] = []
        self._backed_up = backed_up
        self._counts = counts
        self._aaguid = aaguid

    def create(
        self,
        options: Json,
        *,
        origin: str,
        algorithm: Algorithm | None = None,
        **spoilt: Unpack[CreationSpoilt],
    ) -> Json:
        """Answer `navigator.credentials.create()`: keep a new passkey, return the credential's `toJSON()`.

        `algorithm` None takes the first of pubKeyCredParams that is known here.
        """
        rp_id: str = options["rp"].get("id") or urlsplit(origin).hostname or ""
        if self._own(options.get("excludeCredentials", []), rp_id=rp_id):
            raise InvalidStateError
        chosen = algorithm or _first_known(options["pubKeyCredParams"])
        passkey = SoftwarePasskey(
            id=spoilt.get("credential_id", secrets.token_bytes(32)),
            rp_id=rp_id,
            user_handle=_decode(options["user"]["id"]),
            algorithm=chosen,
            private_key=_new_private_key(chosen),
        )
        client_data = _client_data(
            "webauthn.create", challenge=options["challenge"], origin=origin, spoilt=spoilt
        )
        attested = _attested_credential_data(passkey, aaguid=self._aaguid, spoilt=spoilt)
        data = self._authenticator_data(passkey, attested=attested, spoilt=spoilt)
        self.passkeys.append(passkey)
        return _public_key_credential(
            passkey,
            response={
                "clientDataJSON": _encode(client_data),
                "authenticatorData": _encode(data),
                "transports": spoilt.get("transports", ["hybrid", "internal"]),
                "publicKey": _encode(_subject_public_key_info(passkey.private_key)),
                "publicKeyAlgorithm": int(passkey.algorithm),
                "attestationObject": _encode(_attestation_object(passkey, data, client_data, spoilt)),
            },
            extension_results={"credProps": {"rk": True}}
            if options.get("extensions", {}).get("credProps")
            else {},
            spoilt=spoilt,
        )

    def get(
        self,
        options: Json,
        *,
        origin: str,
        passkey: SoftwarePasskey | None = None,
        **spoilt: Unpack[RequestSpoilt],
    ) -> Json:
        """Answer `navigator.credentials.get()`: return an assertion's `toJSON()`.

        `passkey` None takes the newest one that the options allow.
        """
        chosen = passkey or self._choose(options, origin=origin)
        if self._counts:
            chosen.sign_count += 1
        client_data = _client_data(
            "webauthn.get", challenge=options["challenge"], origin=origin, spoilt=spoilt
        )
        data = self._authenticator_data(chosen, attested=b"", spoilt=spoilt)
        signed = data + hashlib.sha256(client_data).digest()
        user_handle = spoilt.get("user_handle", chosen.user_handle)
        return _public_key_credential(
            chosen,
            response={
                "clientDataJSON": _encode(client_data),
                "authenticatorData": _encode(data),
                "signature": _encode(spoilt.get("signature", chosen.sign(signed))),
                **({} if user_handle is None else {"userHandle": _encode(user_handle)}),
            },
            extension_results={},
            spoilt=spoilt,
        )

    def _choose(self, options: Json, *, origin: str) -> SoftwarePasskey:
        rp_id = options.get("rpId") or urlsplit(origin).hostname or ""
        allowed = options.get("allowCredentials", [])
        candidates = (
            self._own(allowed, rp_id=rp_id)
            if allowed
            else [passkey for passkey in self.passkeys if passkey.rp_id == rp_id]
        )
        if not candidates:
            raise NotAllowedError
        return candidates[-1]

    def _own(self, descriptors: list[Json], *, rp_id: str) -> list[SoftwarePasskey]:
        ids = {_decode(descriptor["id"]) for descriptor in descriptors}
        return [passkey for passkey in self.passkeys if passkey.rp_id == rp_id and passkey.id in ids]

    def _authenticator_data(
        self, passkey: SoftwarePasskey, *, attested: bytes, spoilt: CreationSpoilt | RequestSpoilt
    ) -> bytes:
        if "authenticator_data" in spoilt:
            return spoilt["authenticator_data"]
        rp_id = spoilt.get("rp_id", passkey.rp_id)
        rp_id_hash = spoilt.get("rp_id_hash", hashlib.sha256(rp_id.encode()).digest())
        flags = spoilt.get("flags", self._flags(spoilt, attested=bool(attested)))
        sign_count = spoilt.get("sign_count", passkey.sign_count)
        # WebAuthn L3 §6.1: rpIdHash, flags, signCount, attestedCredentialData, extensions.
        return (
            rp_id_hash
            + bytes([flags])
            + sign_count.to_bytes(4, "big")
            + attested
            + spoilt.get("extra_bytes", b"")
        )

    def _flags(self, spoilt: CreationSpoilt | RequestSpoilt, *, attested: bool) -> int:
        is_set = {
            Flag.UP: spoilt.get("user_present", True),
            Flag.UV: spoilt.get("user_verified", True),
            Flag.BE: spoilt.get("backup_eligible", self._backed_up),
            Flag.BS: spoilt.get("backed_up", self._backed_up),
            Flag.AT: spoilt.get("attested", attested),
        }
        return sum(flag for flag, value in is_set.items() if value)


def _client_data(type_: str, *, challenge: str, origin: str, spoilt: CreationSpoilt | RequestSpoilt) -> bytes:
    if "client_data_json" in spoilt:
        return spoilt["client_data_json"]
    # WebAuthn L3 §5.8.1.1: the members in this order, without white space.
    members: Json = {
        "type": spoilt.get("type", type_),
        "challenge": spoilt.get("challenge", challenge),
        "origin": origin,
        "crossOrigin": spoilt.get("cross_origin", False),
    }
    if members["crossOrigin"] is None:
        del members["crossOrigin"]
    if "top_origin" in spoilt:
        members["topOrigin"] = spoilt["top_origin"]
    members |= spoilt.get("client_data", {})
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def _attested_credential_data(passkey: SoftwarePasskey, *, aaguid: bytes, spoilt: CreationSpoilt) -> bytes:
    # WebAuthn L3 §6.5.1: aaguid, credentialIdLength, credentialId, credentialPublicKey.
    return (
        spoilt.get("aaguid", aaguid)
        + len(passkey.id).to_bytes(2, "big")
        + passkey.id
        + spoilt.get("public_key", passkey.public_key)
    )


def _attestation_object(
    passkey: SoftwarePasskey, data: bytes, client_data: bytes, spoilt: CreationSpoilt
) -> bytes:
    if "attestation_object" in spoilt:
        return spoilt["attestation_object"]
    format_ = spoilt.get("format", "none")
    statement: Json = {}
    if format_ == "packed":
        # WebAuthn L3 §8.2 (self attestation): signed by the new key itself.
        signature = passkey.sign(data + hashlib.sha256(client_data).digest())
        statement = {"alg": int(passkey.algorithm), "sig": signature}
    statement = spoilt.get("attestation_statement", statement)
    return cbor2.dumps({"fmt": format_, "attStmt": statement, "authData": data}, canonical=True)


def _public_key_credential(
    passkey: SoftwarePasskey,
    *,
    response: Json,
    extension_results: Json,
    spoilt: CreationSpoilt | RequestSpoilt,
) -> Json:
    # WebAuthn L3 §5.1 (toJSON): id and rawId are spelt alike.
    spelt = _encode(spoilt.get("credential_id", passkey.id))
    attachment = spoilt.get("authenticator_attachment", "platform")
    return {
        "id": spoilt.get("id", spelt),
        "rawId": spoilt.get("raw_id", spelt),
        "type": spoilt.get("credential_type", "public-key"),
        **({} if attachment is None else {"authenticatorAttachment": attachment}),
        "clientExtensionResults": spoilt.get("client_extension_results", extension_results),
        "response": response,
    }


def _first_known(parameters: list[Json]) -> Algorithm:
    for parameter in parameters:
        if parameter["type"] == "public-key" and parameter["alg"] in set(Algorithm):
            return Algorithm(parameter["alg"])
    raise NotAllowedError


def _new_private_key(algorithm: Algorithm) -> PrivateKey:
    match algorithm:
        case Algorithm.ES256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.EDDSA:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.RS256:
            return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def _cose_key(private_key: PrivateKey) -> dict[int, int | bytes]:
    # RFC 9053 §7, RFC 8230 §4: 1 kty, 3 alg, -1 crv (or n), -2 x (or e), -3 y.
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        point = private_key.public_key().public_numbers()
        x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
        return {1: 2, 3: Algorithm.ES256.value, -1: 1, -2: x, -3: y}
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {1: 1, 3: Algorithm.EDDSA.value, -1: 6, -2: raw}
    numbers = private_key.public_key().public_numbers()
    modulus, exponent = numbers.n.to_bytes(256, "big"), numbers.e.to_bytes(3, "big")
    return {1: 3, 3: Algorithm.RS256.value, -1: modulus, -2: exponent}


def _subject_public_key_info(private_key: PrivateKey) -> bytes:
    return private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
