"""Presenting a token to the validator, as a service would."""

from idp.resource_server import AccessToken, AuthorizationServer, PresentedToken, validate_access_token
from tests.resource_server.provider import AUDIENCE


async def check(
    server: AuthorizationServer, token: str, *proofs: str, method: str = "GET", uri: str = AUDIENCE
) -> AccessToken:
    """Validate a token, presented with DPoP when there is a proof."""
    presented = PresentedToken(
        token=token, scheme="DPoP" if proofs else "Bearer", proofs=proofs, method=method, uri=uri
    )
    return await validate_access_token(presented, server=server, audience=AUDIENCE)
