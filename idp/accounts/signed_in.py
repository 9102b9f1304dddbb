from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from idp.errors import NextStep, PageError
from idp.sessions.cookie import SessionCookies
from idp.storage.browser_sessions import BrowserSession
from idp.web.browser import CSRF_FIELD, Browsers
from idp.web.parameters import Parameters, form_parameters


@dataclass(frozen=True, slots=True)
class SignedInForm:
    """A form that a signed-in person sent from one of our own pages."""

    session: BrowserSession
    browser_sha256: bytes
    fields: Parameters


class SignedInForms:
    """Reads forms of the account page: ours, from this browser, of somebody signed in, in that order."""

    def __init__(self, *, browsers: Browsers, sessions: SessionCookies) -> None:
        self._browsers = browsers
        self._sessions = sessions

    async def read(self, request: Request, *, now: datetime) -> SignedInForm:
        """Answer the form and its session; raises PageError, and then nothing has been changed."""
        fields = await form_parameters(request)
        browser = self._browsers.identify(request)
        self._browsers.check_form(request, browser, presented_token=fields.get(CSRF_FIELD))
        session = await self._sessions.current(request, now=now)
        if session is None:
            raise PageError(
                "You are signed out",
                "Nothing was changed. Sign in, then do it again.",
                code="not_signed_in",
                status=401,
                next_step=NextStep("Sign in", "/login"),
            )
        return SignedInForm(session=session, browser_sha256=browser.sha256, fields=fields)
