"""ID Tokens (OIDC Core §2)."""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from idp import opaque_token
from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.settings import Settings
from idp.storage.grants import Grant


def mint(
    grant: Grant,
    *,
    access_token: str,
    nonce: str | None,
    person: Mapping[str, object],
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> str:
    """Sign an ID Token that goes with an access token: who the person is, and of the rest only `person`.

    OIDC Core §12.2: on refresh, `nonce` is None, `iat` is new and `auth_time` stays.
    """
    issued_at = int(now.timestamp())
    claims: dict[str, object] = dict(person) | {
        "iss": settings.issuer,
        "sub": grant.account_id,
        "aud": grant.client_id,
        "iat": issued_at,
        "exp": issued_at + settings.tokens.id_token_lifetime_seconds,
        "auth_time": int(grant.auth_time.timestamp()),
        "acr": grant.acr,
        "amr": grant.amr,
        "at_hash": at_hash(access_token),
        "sid": grant.session_id,
    }
    if nonce is not None:
        claims["nonce"] = nonce
    return signing.sign(keyring, claims, typ=signing.ID_TOKEN_TYP, now=now)


def at_hash(access_token: str) -> str:
    """OIDC Core §3.1.3.6: the left half of the SHA-256 digest (the signature is RS256)."""
    return opaque_token.encode(hashlib.sha256(access_token.encode("ascii")).digest()[:16])
