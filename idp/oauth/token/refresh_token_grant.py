"""Rotating a refresh token (OAuth 2.1 §4.3)."""

from datetime import datetime

from idp.errors import InvalidGrant
from idp.oauth import grant_token
from idp.oauth.grant import Presenter, idle_expiry
from idp.oauth.grant_token import GrantTokenKeys, PresentedToken
from idp.settings import Tokens
from idp.storage import grants
from idp.storage.grants import Grant
from idp.storage.prepared import Lane
from idp.web.parameters import Parameters

# The same words for unknown, expired, reused, revoked and another client's.
REFUSAL = "the refresh token is invalid, expired or revoked"


def read_refresh_token(parameters: Parameters, *, keys: GrantTokenKeys) -> PresentedToken:
    """Read a token request's refresh token; raises InvalidRequest or InvalidGrant."""
    token = grant_token.open_token(keys, parameters.require("refresh_token"))
    if token is None or token.generation < 1:
        raise InvalidGrant(REFUSAL, detail="not a refresh token of ours")
    return token


async def rotate(
    lane: Lane, token: PresentedToken, presenter: Presenter, *, rules: Tokens, now: datetime
) -> Grant | None:
    """Advance the family by one, in one statement; None leaves the matter to `settle_refresh`."""
    return await grants.rotate(
        lane,
        grant_id=token.grant_id,
        presented_sha256=token.secret_sha256,
        presented_generation=token.generation,
        presenting_client=presenter.client_id,
        presented_thumbprint=presenter.thumbprint,
        next_idle_expiry=idle_expiry(rules, now=now),
        now=now,
    )
