"""JWT access tokens (RFC 9068)."""

from collections.abc import Collection, Sequence
from datetime import datetime

from idp import opaque_token
from idp.clients.client import Client
from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.oauth.tokens import token_status
from idp.settings import Settings
from idp.storage.grants import Grant

_GRANT_ID_LENGTH = 16
_JTI_LENGTH = _GRANT_ID_LENGTH + 8
_EPOCH_LENGTH = 5
_CLIENT_JTI_LENGTH = 16


def mint(
    grant: Grant,
    *,
    scopes: Collection[str],
    audience: Sequence[str],
    thumbprint: str | None,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> str:
    """Sign an access token for the grant's present generation."""
    issued_at = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": settings.issuer,
        "sub": grant.account_id,
        "aud": audience[0] if len(audience) == 1 else list(audience),
        "client_id": grant.client_id,
        "scope": " ".join(scopes),
        "iat": issued_at,
        "exp": issued_at + settings.tokens.access_token_lifetime_seconds,
        "jti": new_jti(grant.id),
        "auth_time": int(grant.auth_time.timestamp()),
        "acr": grant.acr,
        "amr": grant.amr,
        "status": token_status.claim_of(grant.status_index, issuer=settings.issuer),
    }
    if thumbprint is not None:
        # RFC 9449 §6.1: of no use without the key.
        claims["cnf"] = {"jkt": thumbprint}
    return signing.sign(keyring, claims, typ=signing.ACCESS_TOKEN_TYP, now=now)


def mint_for_client(
    client: Client,
    *,
    scopes: Collection[str],
    audience: Sequence[str],
    thumbprint: str | None,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> str:
    """Sign an access token for a client itself (OAuth 2.1 §4.2; RFC 9068 §2.2: the subject is the client)."""
    issued_at = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": settings.issuer,
        "sub": client.id,
        "aud": audience[0] if len(audience) == 1 else list(audience),
        "client_id": client.id,
        "scope": " ".join(scopes),
        "iat": issued_at,
        "exp": issued_at + settings.tokens.access_token_lifetime_seconds,
        "jti": opaque_token.encode(_client_jti(client.token_epoch)),
    }
    if thumbprint is not None:
        claims["cnf"] = {"jkt": thumbprint}
    return signing.sign(keyring, claims, typ=signing.ACCESS_TOKEN_TYP, now=now)


def new_jti(grant_id: bytes) -> str:
    """Name a new access token so that its grant can be found from it."""
    return opaque_token.encode(grant_id + opaque_token.random_bytes(_JTI_LENGTH - _GRANT_ID_LENGTH))


def grant_id_of(jti: object) -> bytes | None:
    """Answer the grant that a token's `jti` names."""
    raw = opaque_token.decode(jti) if isinstance(jti, str) else None
    return raw[:_GRANT_ID_LENGTH] if raw is not None and len(raw) == _JTI_LENGTH else None


def client_epoch_of(jti: object) -> int | None:
    """Answer the client's token epoch that a client's own token was made in; None for any other token."""
    raw = opaque_token.decode(jti) if isinstance(jti, str) else None
    return (
        int.from_bytes(raw[:_EPOCH_LENGTH], "big")
        if raw is not None and len(raw) == _CLIENT_JTI_LENGTH
        else None
    )


def _client_jti(token_epoch: int) -> bytes:
    return token_epoch.to_bytes(_EPOCH_LENGTH, "big") + opaque_token.random_bytes(
        _CLIENT_JTI_LENGTH - _EPOCH_LENGTH
    )
