"""Logout tokens (OIDC Back-Channel Logout 1.0 §2.4)."""

from datetime import datetime, timedelta

from idp.keys import signing
from idp.keys.keyring import Keyring
from idp.storage.outbox import Message

LIFETIME = timedelta(minutes=2)  # §2.4 (exp): preferably at most two minutes in the future.
EVENT = "http://schemas.openid.net/event/backchannel-logout"


def mint(message: Message, *, keyring: Keyring, issuer: str, now: datetime) -> str:
    """Sign the token of one message, anew at each attempt: with fresh times, and always the same `jti`.

    By that a client knows a second copy. It never has a `nonce`, so that it cannot pass for an ID Token.
    """
    issued_at = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": issuer,
        "sub": message.account_id,
        "aud": message.recipient,
        "iat": issued_at,
        "exp": issued_at + int(LIFETIME.total_seconds()),
        "jti": message.id,
        "events": {EVENT: {}},
        "sid": message.session_id,
    }
    return signing.sign(keyring, claims, typ=signing.LOGOUT_TOKEN_TYP, now=now)
