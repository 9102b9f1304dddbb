from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

PASSKEYS_PAGE = "/account#passkeys"

_CACHED = {"Cache-Control": "public, max-age=3600"}


class PasskeyEndpoints:
    """GET /.well-known/passkey-endpoints: where a password manager sends people to add and manage passkeys.

    (W3C, Passkey Endpoints: `enroll` and `manage`.)
    """

    def __init__(self, *, issuer: str) -> None:
        self._page = f"{issuer}{PASSKEYS_PAGE}"

    async def get(self, request: Request) -> Response:
        return JSONResponse({"enroll": self._page, "manage": self._page}, headers=_CACHED)


class ChangePassword:
    """GET /.well-known/change-password: there is no password, so to the page of what stands in its place.

    (W3C, A Well-Known URL for Changing Passwords, §3.1: a redirect, never to be kept for good.)
    """

    async def get(self, request: Request) -> Response:
        return RedirectResponse(PASSKEYS_PAGE, status_code=302)
