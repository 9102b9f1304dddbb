"""The demo API: answers whoever brings an access token that the provider signed for it."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.resource_server import AccessToken


class HelloEndpoint:
    """`GET /api/hello`, behind ProtectedResource: greets whoever the access token speaks for."""

    async def get(self, request: Request) -> Response:
        token: AccessToken = request.scope["access_token"]
        return JSONResponse(
            {
                "message": "Hello from the demo API.",
                "you_are": token.subject,
                "through": token.client_id,
                "scope": token.claims.get("scope", ""),
            }
        )
