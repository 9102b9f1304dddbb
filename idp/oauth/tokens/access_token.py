"""JWT access tokens (RFC 9068)."""

from collections.abc import Collection, Sequence
from datetime import datetime

from idp import opaque_token
from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.settings import Settings
from idp.storage.grants import Grant

_GRANT_ID_LENGTH = 16
_JTI_LENGTH = _GRANT_ID_LENGTH + 8


def mint(
    grant: Grant,
    *,
    scopes: Collection[str],
    audience: Sequence[str],
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
    }
    return signing.sign(keyring, claims, typ=signing.ACCESS_TOKEN_TYP, now=now)


def new_jti(grant_id: bytes) -> str:
    """Name a new access token so that its grant can be found from it."""
    return opaque_token.encode(grant_id + opaque_token.random_bytes(_JTI_LENGTH - _GRANT_ID_LENGTH))


def grant_id_of(jti: object) -> bytes | None:
    """Answer the grant that a token's `jti` names."""
    raw = opaque_token.decode(jti) if isinstance(jti, str) else None
    return raw[:_GRANT_ID_LENGTH] if raw is not None and len(raw) == _JTI_LENGTH else None
