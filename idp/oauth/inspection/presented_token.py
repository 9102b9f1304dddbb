"""A token that someone asks about or gives back, and need not say what kind it is."""

from datetime import datetime, timedelta

from starlette.requests import Request

from idp.errors import InvalidRequest
from idp.keys import signing
from idp.keys.compact_jws import TokenError
from idp.keys.keyring import Keyring
from idp.web.parameters import Parameters, form_parameters


async def read_form(request: Request) -> Parameters:
    """Read the parameters of a request about a token; raises InvalidRequest."""
    # RFC 7662 §4: a token in an address ends in logs.
    if request.scope["query_string"]:
        raise InvalidRequest("parameters belong in the body, not in the address")
    parameters = await form_parameters(request)
    if parameters.repeated(except_for="") is not None:
        raise InvalidRequest("a parameter is repeated")
    return parameters


def read_access_token(
    unverified_token: str, *, keyring: Keyring, issuer: str, now: datetime
) -> signing.VerifiedClaims | None:
    """Answer the claims of an access token of ours that has not expired; None for anything else."""
    try:
        return signing.verify(
            unverified_token,
            keyring=keyring,
            expected_typ=signing.ACCESS_TOKEN_TYP,
            issuer=issuer,
            audience=None,
            now=now,
            leeway=timedelta(0),
        )
    except TokenError:
        return None
