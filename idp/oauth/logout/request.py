"""A relying party's wish that the person be signed out (OIDC RP-Initiated Logout 1.0 §2)."""

from dataclasses import dataclass
from datetime import datetime

from idp.clients.client import Client
from idp.clients.registry import ClientRegistry
from idp.errors import InvalidRequest
from idp.keys import signing
from idp.keys.compact_jws import TokenError
from idp.keys.keyring import Keyring
from idp.web.parameters import Parameters

MAX_STATE_LENGTH = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutRequest:
    """What is asked, and what of it is proved. `hinted_session` is the `sid` of a valid ID Token hint."""

    client: Client | None
    has_valid_hint: bool
    hinted_account: str | None
    hinted_session: str | None
    post_logout_redirect_uri: str | None
    state: str | None


async def read_logout_request(
    parameters: Parameters, *, registry: ClientRegistry, keyring: Keyring, issuer: str, now: datetime
) -> LogoutRequest:
    """Read the request; whatever cannot be proved is left out. Raises InvalidRequest for repetition."""
    claims = _hint_claims(parameters.get("id_token_hint"), keyring=keyring, issuer=issuer)
    client_id = parameters.get("client_id")
    hinted_client = str(claims["aud"]) if claims else None
    # §2: a client_id beside the hint must be the one that the hint was issued to.
    if claims and client_id is not None and client_id != hinted_client:
        claims, hinted_client = None, None
    found = await registry.find(hinted_client or client_id or "", now=now)
    client = found if found and not found.is_disabled else None
    state = parameters.get("state")
    if state is not None and len(state) > MAX_STATE_LENGTH:
        raise InvalidRequest("state is too long")
    return LogoutRequest(
        client=client,
        has_valid_hint=claims is not None,
        hinted_account=str(claims["sub"]) if claims else None,
        hinted_session=str(claims["sid"]) if claims and "sid" in claims else None,
        post_logout_redirect_uri=_registered(client, parameters.get("post_logout_redirect_uri")),
        state=state,
    )


def _hint_claims(hint: str | None, *, keyring: Keyring, issuer: str) -> signing.VerifiedClaims | None:
    if hint is None:
        return None
    try:
        return signing.verify_id_token_hint(hint, keyring=keyring, issuer=issuer)
    except TokenError:
        return None


def _registered(client: Client | None, presented: str | None) -> str | None:
    # §3: exactly one of the registered values, character by character.
    if client is None or presented is None:
        return None
    return next((uri for uri in client.metadata.post_logout_redirect_uris if uri == presented), None)
