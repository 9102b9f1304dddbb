"""The JSON that `PublicKeyCredential.toJSON()` makes (WebAuthn L3 §5.1), read strictly.

What the browser computed beside it (public key, extension results, attachment) is unsigned and not read.
"""

from dataclasses import dataclass

from idp import opaque_token
from idp.passkeys.verification import client_data
from idp.passkeys.verification.authenticator_data import MAX_CREDENTIAL_ID_LENGTH
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.passkeys.verification.client_data import ClientData
from idp.web.parameters import Json

MAX_ATTESTATION_OBJECT_LENGTH = 16 * 1024
MAX_AUTHENTICATOR_DATA_LENGTH = 2048
MAX_SIGNATURE_LENGTH = 1024
MAX_USER_HANDLE_LENGTH = 64  # WebAuthn L3 §5.4.3 (id).
TRANSPORTS = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")  # WebAuthn L3 §5.8.4.
_MAX_TRANSPORTS = 16


@dataclass(frozen=True, slots=True)
class PresentedRegistration:
    """A new passkey as the browser presents it: well formed, nothing proven."""

    id: bytes
    client_data_json: bytes
    client_data: ClientData
    attestation_object: bytes
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PresentedAssertion:
    """An answer to a challenge as the browser presents it: well formed, nothing proven."""

    id: bytes
    client_data_json: bytes
    client_data: ClientData
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None


def presented_challenge(credential: Json) -> bytes:
    """Read the challenge alone, so that it can be used up whatever else is wrong; raises CeremonyError."""
    return client_data.parse(_client_data_json(_response(credential))).challenge


def claims_other_device(credential: Json) -> bool:
    """Whether the browser says that the passkey came from another device: unsigned, a hint and no more."""
    # WebAuthn L3 §5.1 (authenticatorAttachment).
    return isinstance(credential, dict) and credential.get("authenticatorAttachment") == "cross-platform"


def read_registration(credential: Json) -> PresentedRegistration:
    """Read the answer of `navigator.credentials.create()`; raises CeremonyError."""
    response = _response(credential)
    raw = _client_data_json(response)
    return PresentedRegistration(
        id=_id(credential),
        client_data_json=raw,
        client_data=client_data.parse(raw),
        attestation_object=_bytes(response, "attestationObject", longest=MAX_ATTESTATION_OBJECT_LENGTH),
        transports=_transports(response.get("transports")),
    )


def read_assertion(credential: Json) -> PresentedAssertion:
    """Read the answer of `navigator.credentials.get()`; raises CeremonyError."""
    response = _response(credential)
    raw = _client_data_json(response)
    user_handle = None
    if response.get("userHandle") is not None:
        user_handle = _bytes(response, "userHandle", longest=MAX_USER_HANDLE_LENGTH)
    return PresentedAssertion(
        id=_id(credential),
        client_data_json=raw,
        client_data=client_data.parse(raw),
        authenticator_data=_bytes(response, "authenticatorData", longest=MAX_AUTHENTICATOR_DATA_LENGTH),
        signature=_bytes(response, "signature", longest=MAX_SIGNATURE_LENGTH),
        user_handle=user_handle,
    )


def _response(credential: Json) -> dict[str, Json]:
    response = credential.get("response") if isinstance(credential, dict) else None
    if not isinstance(response, dict):
        raise CeremonyError("credential_malformed")
    return response


def _client_data_json(response: dict[str, Json]) -> bytes:
    return _bytes(response, "clientDataJSON", longest=client_data.MAX_LENGTH)


def _id(credential: Json) -> bytes:
    if not isinstance(credential, dict) or credential.get("type") != "public-key":
        raise CeremonyError("credential_malformed")
    # Both are canonical base64url, so equal text and equal bytes are the same.
    if credential.get("id") != credential.get("rawId"):
        raise CeremonyError("credential_malformed")
    return _bytes(credential, "rawId", longest=MAX_CREDENTIAL_ID_LENGTH)


def _bytes(members: dict[str, Json], name: str, *, longest: int) -> bytes:
    text = members.get(name)
    # The length is judged before anything is decoded: base64 takes four characters for three bytes.
    if not isinstance(text, str) or len(text) > (longest * 4 + 2) // 3:
        raise CeremonyError("credential_malformed")
    value = opaque_token.decode(text)
    if not value:
        raise CeremonyError("credential_malformed")
    return value


def _transports(transports: Json) -> tuple[str, ...]:
    if transports is None:
        return ()
    if not isinstance(transports, list) or len(transports) > _MAX_TRANSPORTS:
        raise CeremonyError("credential_malformed")
    # A hint for the browser, which passes over what it does not know: so do we.
    return tuple(transport for transport in TRANSPORTS if transport in transports)
