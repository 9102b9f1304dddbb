from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.passkeys import continuation
from idp.passkeys.sign_in import SignedIn, SigningInBrowser
from idp.request_context import request_context
from idp.sessions.cookie import SessionCookies
from idp.web.browser import Browser, Browsers


@dataclass(frozen=True, slots=True)
class Renewal:
    """A browser on its way to being signed in, and the name that it will have then."""

    browser: SigningInBrowser
    renewed: Browser


class BrowserSignIn:
    """Signs a browser in at the edge: a new name against fixation, the session's cookie, the next address."""

    def __init__(self, *, browsers: Browsers, cookies: SessionCookies) -> None:
        self._browsers = browsers
        self._cookies = cookies

    async def prepare(self, request: Request, browser: Browser, *, now: datetime) -> Renewal:
        """Answer what a use case must know of the browser that it may sign in."""
        context = request_context.get()
        renewed = self._browsers.renewed()
        return Renewal(
            browser=SigningInBrowser(
                sha256=browser.sha256,
                renewed_sha256=renewed.sha256,
                session=await self._cookies.current(request, now=now),
                user_agent=request.headers.get("user-agent", ""),
                address=context.address if context else "",
            ),
            renewed=renewed,
        )

    def response(self, signed_in: SignedIn, renewal: Renewal, *, request_id: str) -> Response:
        """Tell the script where to go on, with both cookies."""
        address = continuation.address(
            request_id, has_notice=signed_in.has_notice, is_offered_passkey=signed_in.is_offered_passkey
        )
        response = JSONResponse({"continue": address})
        self._browsers.remember(response, renewal.renewed)
        self._cookies.put(response, signed_in.cookie_token)
        return response
