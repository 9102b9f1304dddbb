from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.passkeys import continuation
from idp.passkeys.endpoints.authentication import MAX_ADDRESS_LENGTH
from idp.sessions.cookie import SessionCookies
from idp.storage import interactions
from idp.storage.database import Database
from idp.web.browser import Browser, Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters
from idp.web.rate_limit import RateLimiter


@dataclass(frozen=True, slots=True)
class _Occasion:
    """Why a person is asked to sign in: for which application, and as whom it expects them."""

    request_id: str
    client_name: str | None
    email: str


class LoginPage:
    """GET /login: the page that people sign in on, for an application's request or for their own account."""

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        cookies: SessionCookies,
        pages: Pages,
        rate_limiter: RateLimiter,
        clients: ClientRegistry,
        normalize: Callable[[str], str | None],
        service_name: str,
        is_signup_open: bool,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._cookies = cookies
        self._pages = pages
        self._rate_limiter = rate_limiter
        self._clients = clients
        self._normalize = normalize
        self._service_name = service_name
        self._is_signup_open = is_signup_open
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        await self._rate_limiter.count_caller("sign_in")
        browser = self._browsers.identify(request)
        request_id = _request_id(request)
        # With a request the page shows even to someone signed in: the application may want a fresh sign-in.
        if not request_id and await self._cookies.current(request, now=now):
            return RedirectResponse("/account", status_code=303)
        occasion = await self._occasion(request_id, browser, now=now)
        return self._pages.render(
            "login.html",
            {
                "heading": f"Sign in to {occasion.client_name or self._service_name}",
                "client_name": occasion.client_name,
                "request_id": occasion.request_id,
                "email": occasion.email,
                "signup_open": self._is_signup_open,
                "notice": None,
            },
            browser=browser,
        )

    async def _occasion(self, request_id: str, browser: Browser, *, now: datetime) -> _Occasion:
        interaction = (
            await self._database.read(
                interactions.find, interaction_id=request_id, browser_sha256=browser.sha256
            )
            if request_id
            else None
        )
        # Over, or another browser's: signing in is still right, and /authorize tells what became of it.
        if interaction is None:
            return _Occasion(request_id=request_id, client_name=None, email="")
        client = await self._clients.find(interaction.client_id, now=now)
        return _Occasion(
            request_id=request_id,
            client_name=client.metadata.client_name if client and not client.is_disabled else None,
            email=self._address_in(interaction.parameters.get("login_hint", "")),
        )

    def _address_in(self, login_hint: str) -> str:
        # OIDC Core §3.1.2.1 (login_hint): any text; only an address is of use on this page.
        is_address = len(login_hint) <= MAX_ADDRESS_LENGTH and self._normalize(login_hint) is not None
        return login_hint if is_address else ""


class MethodsPage:
    """GET /login/methods: the other ways to sign in, in plain words."""

    def __init__(self, *, browsers: Browsers, pages: Pages, rate_limiter: RateLimiter) -> None:
        self._browsers = browsers
        self._pages = pages
        self._rate_limiter = rate_limiter

    async def get(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("sign_in")
        browser = self._browsers.identify(request)
        return self._pages.render("methods.html", {"request_id": _request_id(request)}, browser=browser)


def _request_id(request: Request) -> str:
    presented = query_parameters(request).get("request") or ""
    return presented if continuation.is_request_id(presented) else ""
