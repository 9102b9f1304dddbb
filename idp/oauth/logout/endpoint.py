from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.errors import InvalidRequest, NextStep, PageError
from idp.keys.keyring import Keyring
from idp.oauth.logout.request import LogoutRequest, read_logout_request
from idp.sessions import browser_session
from idp.sessions.cookie import SessionCookies
from idp.settings import Settings
from idp.storage import accounts
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from idp.web.browser import CSRF_FIELD, Browsers
from idp.web.pages import Pages
from idp.web.parameters import Parameters, form_parameters, query_parameters

_CARRIED = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")


class LogoutEndpoint:
    """`/logout`, the end session endpoint, and `/logout/confirm`, the answer to its question.

    A valid hint for this very session signs out at once. Anything less asks the person first, so that no
    other site can sign anybody out; and without a valid hint nothing is ever redirected.
    """

    def __init__(
        self,
        *,
        database: Database,
        registry: ClientRegistry,
        sessions: SessionCookies,
        browsers: Browsers,
        pages: Pages,
        keyring: Keyring,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._sessions = sessions
        self._browsers = browsers
        self._pages = pages
        self._keyring = keyring
        self._settings = settings
        self._clock = clock

    async def get(self, request: Request) -> Response:
        try:
            parameters = query_parameters(request)
        except InvalidRequest as error:
            raise _unreadable(error) from error
        return await self._answer(request, parameters, is_confirmed=False)

    async def post(self, request: Request) -> Response:
        """A cross-site POST brings no cookies (SameSite=Lax), so it comes again as a GET."""
        try:
            parameters = await form_parameters(request)
        except InvalidRequest as error:
            raise _unreadable(error) from error
        return RedirectResponse("/logout?" + urlencode(parameters.pairs()), status_code=303)

    async def confirm(self, request: Request) -> Response:
        """The person pressed the button on our own page."""
        try:
            parameters = await form_parameters(request)
            presented_token = parameters.get(CSRF_FIELD)
        except InvalidRequest as error:
            raise _unreadable(error) from error
        browser = self._browsers.identify(request)
        self._browsers.check_form(
            request, browser, presented_token=presented_token, next_step=NextStep("Start again", "/logout")
        )
        return await self._answer(request, parameters, is_confirmed=True)

    async def _answer(self, request: Request, parameters: Parameters, *, is_confirmed: bool) -> Response:
        now = self._clock()
        try:
            asked = await read_logout_request(
                parameters,
                registry=self._registry,
                keyring=self._keyring,
                issuer=self._settings.issuer,
                now=now,
            )
        except InvalidRequest as error:
            raise _unreadable(error) from error
        session = await self._sessions.current(request, now=now)
        if session is not None:
            if not is_confirmed and not _is_about(asked, session):
                return await self._ask(request, parameters, asked, session)
            await self._database.transact(sign_out, session, asked, now=now)
        response = self._goodbye(asked)
        self._sessions.take_back(response)
        return response

    async def _ask(
        self, request: Request, parameters: Parameters, asked: LogoutRequest, session: BrowserSession
    ) -> Response:
        account = await self._database.read(accounts.find, account_id=session.account_id)
        fields = {name: parameters.get(name) for name in _CARRIED}
        target = asked.post_logout_redirect_uri
        return self._pages.render(
            "logout.html",
            {
                "client_name": asked.client.metadata.client_name if asked.client else None,
                "fields": {name: value for name, value in fields.items() if value is not None},
                "person_name": account.name if account else "",
            },
            browser=self._browsers.identify(request),
            form_targets=(target,) if target else (),
        )

    def _goodbye(self, asked: LogoutRequest) -> Response:
        target = asked.post_logout_redirect_uri
        if target is not None and asked.has_valid_hint:
            if asked.state is None:
                return RedirectResponse(target, status_code=303)
            separator = "&" if "?" in target else "?"
            return RedirectResponse(
                f"{target}{separator}{urlencode({'state': asked.state})}", status_code=303
            )
        return_to = None
        if target is not None and asked.client is not None:
            return_to = {"label": f"Back to {asked.client.metadata.client_name}", "href": target}
        return self._pages.render("signed_out.html", {"apps": [], "frames": [], "return_to": return_to})


class LogoutConfirmEndpoint:
    """`POST /logout/confirm`: the answer to the question that `/logout` asks."""

    def __init__(self, logout: LogoutEndpoint) -> None:
        self._logout = logout

    async def post(self, request: Request) -> Response:
        return await self._logout.confirm(request)


async def sign_out(tx: Transaction, session: BrowserSession, asked: LogoutRequest, *, now: datetime) -> None:
    """End the session and what lives only as long as it."""
    if await browser_session.end(tx, session, now=now):
        await audit.record(
            tx,
            "signed_out",
            account_id=session.account_id,
            client_id=asked.client.id if asked.client else None,
            now=now,
        )


def _unreadable(error: InvalidRequest) -> PageError:
    return PageError(
        "This sign-out request can't be read",
        "You are still signed in. You can sign out on your account page.",
        code="invalid_request",
        status=error.status,
        next_step=NextStep("Go to your account", "/account"),
        detail=error.description,
    )


def _is_about(asked: LogoutRequest, session: BrowserSession) -> bool:
    # RP-Initiated Logout §2: an expired hint will do when its session is the present one.
    return asked.hinted_session == session.id and asked.hinted_account == session.account_id
