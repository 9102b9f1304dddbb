import hmac
from datetime import datetime

from idp import opaque_token
from idp.clients.client import Client

MAX_LENGTH = 256
# Two secrets at most live at once (registration.rotate_secret), so two comparisons are made for everybody.
_COMPARISONS = 2
# A digest that no secret has: it stands in where a client has fewer secrets, or is not there at all.
_NO_SECRET = bytes(32)


def matches(client: Client | None, presented_secret: str, *, now: datetime) -> bool:
    """Whether the secret is one of the client's live ones, in the same time for every client and for none.

    An unknown or disabled client, or one without secrets, matches nothing.
    """
    live = _live_digests(client, now=now)
    digests = live + (_NO_SECRET,) * (_COMPARISONS - len(live))
    # Our secrets are ASCII; anything else is compared as well, and is never right.
    is_well_formed = presented_secret.isascii() and len(presented_secret) <= MAX_LENGTH
    presented_sha256 = opaque_token.sha256(presented_secret if is_well_formed else "")
    is_match = False
    for digest in digests:
        is_match |= hmac.compare_digest(digest, presented_sha256)
    return is_match and is_well_formed


def _live_digests(client: Client | None, *, now: datetime) -> tuple[bytes, ...]:
    if client is None or client.is_disabled or not client.metadata.has_secret:
        return ()
    return tuple(
        secret.secret_sha256
        for secret in client.secrets
        if secret.expires_at is None or secret.expires_at > now
    )
