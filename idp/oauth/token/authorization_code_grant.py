"""Redeeming an authorization code (OAuth 2.1 §4.1.3)."""

from datetime import datetime

from idp.errors import InvalidGrant
from idp.oauth import grant_token, pkce
from idp.oauth.grant import PresentedCode, Presenter, idle_expiry
from idp.oauth.grant_token import GrantTokenKeys
from idp.settings import Tokens
from idp.storage import grants
from idp.storage.grants import Grant
from idp.storage.prepared import Lane
from idp.web.parameters import Parameters

# The same words for unknown, expired, used and another client's.
REFUSAL = "the code is invalid, expired or already used"


def read_code(parameters: Parameters, *, keys: GrantTokenKeys) -> PresentedCode:
    """Read a token request's code, verifier and redirect URI; raises InvalidRequest or InvalidGrant."""
    code = parameters.require("code")
    challenge = pkce.challenge_of(parameters.get("code_verifier"))
    token = grant_token.open_token(keys, code)
    if token is None or token.generation != 0:
        raise InvalidGrant(REFUSAL, detail="not a code of ours")
    return PresentedCode(
        token=token,
        challenge=challenge,
        redirect_uri=parameters.get("redirect_uri"),
    )


async def redeem(
    lane: Lane, code: PresentedCode, presenter: Presenter, *, rules: Tokens, now: datetime
) -> Grant | None:
    """Turn an unused code into generation 1, in one statement; None leaves the matter to `settle_code`."""
    return await grants.redeem(
        lane,
        grant_id=code.token.grant_id,
        presented_sha256=code.token.secret_sha256,
        presenting_client=presenter.client_id,
        presented_challenge=code.challenge,
        presented_redirect_uri=code.redirect_uri,
        presented_thumbprint=presenter.thumbprint,
        binding_thumbprint=presenter.binding,
        next_idle_expiry=idle_expiry(rules, now=now),
        now=now,
    )
