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
from idp.sessions import browser_session, sign_out
from idp.sessions.cookie import SessionCookies
from idp.sessions.sign_out import ReturnPath
from idp.settings import Settings
from idp.storage import accounts
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from idp.web.browser import CSRF_FIELD, Browsers
from idp.web.pages import Pages
from idp.web.parameters import Parameters, form_parameters, query_parameters, query_string

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
            query = query_string(pair for pair in parameters.pairs() if pair[0] in _CARRIED)
        except InvalidRequest as error:
            raise _unreadable(error) from error
        return RedirectResponse(f"/logout?{query}", status_code=303)

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
        if session is None:
            return self._goodbye(asked)
        if not is_confirmed and not _is_about(asked, session):
            return await self._ask(request, parameters, asked, session)
        browser = self._browsers.identify(request)
        address = await self._database.transact(
            end_session, session, asked, browser_sha256=browser.sha256, now=now
        )
        response = RedirectResponse(address, status_code=303)
        self._browsers.remember(response, browser)
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
        """Nobody is signed in here: there is nothing to end and nobody to tell."""
        path = return_path(asked)
        if path is not None and path.is_automatic:
            return RedirectResponse(path.uri, status_code=303)
        return_to = None
        if path is not None and asked.client is not None:
            return_to = {"label": f"Back to {asked.client.metadata.client_name}", "href": path.uri}
        return self._pages.render("signed_out.html", {"apps": [], "return_to": return_to, "again": None})


class LogoutConfirmEndpoint:
    """`POST /logout/confirm`: the answer to the question that `/logout` asks."""

    def __init__(self, logout: LogoutEndpoint) -> None:
        self._logout = logout

    async def post(self, request: Request) -> Response:
        return await self._logout.confirm(request)


async def end_session(
    tx: Transaction, session: BrowserSession, asked: LogoutRequest, *, browser_sha256: bytes, now: datetime
) -> str:
    """End the session and what lives only as long as it; answer where the browser goes."""
    if await browser_session.end(tx, session, now=now):
        await audit.record(
            tx,
            "signed_out",
            account_id=session.account_id,
            client_id=asked.client.id if asked.client else None,
            now=now,
        )
    return await sign_out.next_address(
        tx,
        browser_sha256=browser_sha256,
        session_id=session.id,
        ended_session_ids=[session.id],
        return_path=return_path(asked),
        now=now,
    )


def return_path(asked: LogoutRequest) -> ReturnPath | None:
    """Say where the app wants the browser back, and whether it goes there without being asked.

    RP-Initiated Logout §3: `state` comes back with the browser. Without a valid hint anybody may have sent
    the person, so that they go back by a link of their own will, and nothing is handed over.
    """
    uri = asked.post_logout_redirect_uri
    if uri is None or asked.client is None:
        return None
    if asked.has_valid_hint and asked.state is not None:
        uri += ("&" if "?" in uri else "?") + urlencode({"state": asked.state})
    return ReturnPath(client_id=asked.client.id, uri=uri, is_automatic=asked.has_valid_hint)


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
