"""The access token that a request to a protected resource carries (RFC 6750 §2, RFC 9449 §7)."""

from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request

from idp.errors import BearerError, InvalidRequest, InvalidToken
from idp.web.parameters import Parameters, form_parameters


@dataclass(frozen=True, slots=True)
class PresentedAccessToken:
    """A token and how it was presented; nothing of it is checked yet."""

    token: str = field(repr=False)
    scheme: Literal["Bearer", "DPoP"]


async def read_access_token(request: Request) -> PresentedAccessToken:
    """Answer the one access token of a request, from header or form body; raises BearerError."""
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise BearerError(InvalidRequest("use one Authorization header"))
    body = await _body_parameters(request)
    body_token = body.get("access_token")
    # RFC 9700 §4.3.2: never in an address.
    if "access_token" in request.query_params:
        raise BearerError(InvalidRequest("access_token must not be in the address"))
    if not headers:
        if body_token is None:
            raise BearerError(None)
        return PresentedAccessToken(body_token, "Bearer")
    # RFC 6750 §2: one way in each request.
    if body_token is not None:
        raise BearerError(InvalidRequest("present the token in one way, not two"))
    scheme, _, token = headers[0].partition(" ")
    if not token or scheme.lower() not in {"bearer", "dpop"}:
        raise BearerError(InvalidToken("Authorization must be Bearer or DPoP, and a token"))
    return PresentedAccessToken(token, "DPoP" if scheme.lower() == "dpop" else "Bearer")


async def _body_parameters(request: Request) -> Parameters:
    if request.method != "POST" or not request.headers.get("content-type"):
        return Parameters(())
    try:
        parameters = await form_parameters(request)
        parameters.get("access_token")
    except InvalidRequest as error:
        raise BearerError(error) from error
    return parameters
