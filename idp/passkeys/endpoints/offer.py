from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.clock import Clock
from idp.passkeys import continuation
from idp.sessions.cookie import SessionCookies
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters


class PasskeyOffer:
    """GET /passkeys/offer: after a sign-in with another device, a passkey for this one; "Not now" goes on."""

    def __init__(self, *, browsers: Browsers, cookies: SessionCookies, pages: Pages, clock: Clock) -> None:
        self._browsers = browsers
        self._cookies = cookies
        self._pages = pages
        self._clock = clock

    async def get(self, request: Request) -> Response:
        presented = query_parameters(request).get("request") or ""
        request_id = presented if continuation.is_request_id(presented) else ""
        onward = continuation.address(request_id, has_notice=False)
        if await self._cookies.current(request, now=self._clock()) is None:
            return RedirectResponse(onward, status_code=303)
        return self._pages.render(
            "offer.html",
            {"request_id": request_id, "onward": onward},
            browser=self._browsers.identify(request),
        )
