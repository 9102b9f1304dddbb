from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.passkeys.relying_party import RelyingParty


class RelatedOrigins:
    """GET /.well-known/webauthn: the configured origins that may use our passkeys (WebAuthn L3 §5.11)."""

    def __init__(self, *, relying_party: RelyingParty) -> None:
        self._origins = relying_party.origins

    async def get(self, request: Request) -> Response:
        return JSONResponse({"origins": [*self._origins]}, headers={"Cache-Control": "public, max-age=3600"})
