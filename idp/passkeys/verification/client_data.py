from dataclasses import dataclass

from idp import opaque_token
from idp.errors import InvalidRequest
from idp.passkeys.relying_party import RelyingParty
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.web.parameters import Json, parse_json_object

MAX_LENGTH = 4096
CHALLENGE_LENGTH = 32

CREATE = "webauthn.create"
GET = "webauthn.get"


@dataclass(frozen=True, slots=True)
class ClientData:
    """What the browser says of one ceremony (WebAuthn L3 §5.8.1), read but not yet judged."""

    challenge: bytes
    members: dict[str, Json]


def parse(raw: bytes) -> ClientData:
    """Read clientDataJSON strictly, as far as its challenge; raises CeremonyError."""
    if len(raw) > MAX_LENGTH:
        raise CeremonyError("client_data_malformed")
    try:
        members = parse_json_object(raw)
    except InvalidRequest as fault:
        raise CeremonyError("client_data_malformed") from fault
    challenge = members.get("challenge")
    value = opaque_token.decode(challenge) if isinstance(challenge, str) else None
    if value is None or len(value) != CHALLENGE_LENGTH:
        raise CeremonyError("challenge_malformed")
    return ClientData(challenge=value, members=members)


def check(client_data: ClientData, *, expected_type: str, relying_party: RelyingParty) -> None:
    """Refuse another kind of ceremony, another site's, and one inside another site's frame."""
    # WebAuthn L3 §7.1, §7.2 (type).
    if client_data.members.get("type") != expected_type:
        raise CeremonyError("client_data_type")
    # WebAuthn L3 §13.4.9: the whole origin, byte for byte; nothing is normalised before it is compared.
    if client_data.members.get("origin") not in relying_party.origins:
        raise CeremonyError("origin_mismatch")
    # WebAuthn L3 §7.1, §7.2 (crossOrigin, topOrigin): none of our pages lives in a frame.
    if client_data.members.get("crossOrigin", False) is not False or "topOrigin" in client_data.members:
        raise CeremonyError("cross_origin")
