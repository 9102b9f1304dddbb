import re
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.clients.client import Client
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.errors import InvalidRequest, NextStep, PageError
from idp.oauth.authorization import request as authorization_request
from idp.sessions.cookie import SessionCookies
from idp.storage import accounts, connections, email_addresses, interactions
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from idp.storage.interactions import Interaction
from idp.web.browser import CSRF_FIELD, Browser, Browsers
from idp.web.pages import Pages
from idp.web.parameters import Parameters, form_parameters, query_parameters
from idp.web.rate_limit import RateLimiter

_INTERACTION_ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
# What each scope means to the person who is asked.
_WORDS = {
    "openid": "Know that it is you, each time you come back",
    "profile": "See your name and profile, such as picture, birthday and language",
    "email": "See your e-mail address",
    "address": "See your postal address",
    "phone": "See your phone number",
    "offline_access": "Stay signed in when you are not using the app",
}


class ConsentEndpoint:
    """`/consent`: asks the person, once for each client and scope, and remembers the answer."""

    def __init__(
        self,
        *,
        database: Database,
        registry: ClientRegistry,
        sessions: SessionCookies,
        browsers: Browsers,
        pages: Pages,
        rate_limiter: RateLimiter,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._sessions = sessions
        self._browsers = browsers
        self._pages = pages
        self._rate_limiter = rate_limiter
        self._clock = clock

    async def get(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("sign_in")
        now = self._clock()
        browser = self._browsers.identify(request)
        try:
            interaction_id = query_parameters(request).get("request")
        except InvalidRequest as error:
            raise _unreadable(error) from error
        interaction, client = await self._find(interaction_id, browser, now=now)
        session = await self._sessions.current(request, now=now)
        # What is finished or too old is told where every request is decided about.
        if session is None or interaction.used_at is not None or interaction.expires_at <= now:
            return RedirectResponse(f"/authorize?request={interaction.id}", status_code=303)
        return await self._ask(interaction, client, session, browser)

    async def post(self, request: Request) -> Response:
        now = self._clock()
        try:
            parameters = await form_parameters(request)
            interaction_id, decision = parameters.get("request"), parameters.get("decision")
            presented_token = parameters.get(CSRF_FIELD)
        except InvalidRequest as error:
            raise _unreadable(error) from error
        browser = self._browsers.identify(request)
        self._browsers.check_form(
            request, browser, presented_token=presented_token, next_step=_continuation(interaction_id)
        )
        interaction, client = await self._find(interaction_id, browser, now=now)
        session = await self._sessions.current(request, now=now)
        if session is not None and decision in {"allow", "deny"}:
            await self._database.transact(
                record_answer,
                interaction,
                client,
                session,
                answer="allow" if decision == "allow" else "deny",
                now=now,
            )
        return RedirectResponse(f"/authorize?request={interaction.id}", status_code=303)

    async def _find(
        self, interaction_id: str | None, browser: Browser, *, now: datetime
    ) -> tuple[Interaction, Client]:
        interaction = await self._database.read(
            interactions.find, interaction_id=interaction_id or "", browser_sha256=browser.sha256
        )
        client = await self._registry.find(interaction.client_id, now=now) if interaction else None
        if interaction is None or client is None or client.is_disabled:
            raise PageError(
                "This page waited too long",
                "Go back to the app you came from and sign in from there.",
                code="unknown_interaction",
                status=403,
                next_step=NextStep("Go to your account", "/account"),
            )
        return interaction, client

    async def _ask(
        self, interaction: Interaction, client: Client, session: BrowserSession, browser: Browser
    ) -> Response:
        name, email = await self._database.read(_person, account_id=session.account_id)
        metadata = client.metadata
        return self._pages.render(
            "consent.html",
            {
                "heading": f"Allow {metadata.client_name} to use your account?",
                "client_name": metadata.client_name,
                "client_host": urlsplit(interaction.parameters["redirect_uri"]).hostname,
                "is_unverified": False,
                "person_name": name,
                "person_email": email,
                "scopes": [
                    {"name": token, "text": _WORDS.get(token, token)}
                    for token in _requested_scopes(interaction, client)
                ],
                "request_id": interaction.id,
            },
            browser=browser,
            # The answer leads, by way of /authorize, to the client.
            form_targets=(interaction.parameters["redirect_uri"],),
        )


async def record_answer(
    tx: Transaction,
    interaction: Interaction,
    client: Client,
    session: BrowserSession,
    *,
    answer: Literal["allow", "deny"],
    now: datetime,
) -> bool:
    """Remember what the person said; False when the request is over."""
    if answer == "deny":
        is_waiting = await interactions.record_denial(
            tx, interaction_id=interaction.id, browser_sha256=interaction.browser_sha256, now=now
        )
    else:
        is_waiting = await interactions.record_consent(
            tx,
            interaction_id=interaction.id,
            browser_sha256=interaction.browser_sha256,
            account_id=session.account_id,
            now=now,
        )
    if not is_waiting:
        return False
    requested = _requested_scopes(interaction, client)
    if answer == "allow":
        known = await connections.find(tx, account_id=session.account_id, client_id=client.id)
        scopes = sorted({*(known.scopes if known else ()), *requested})
        await connections.allow(
            tx, account_id=session.account_id, client_id=client.id, scopes=scopes, now=now
        )
    await audit.record(
        tx,
        "consent_given" if answer == "allow" else "consent_refused",
        account_id=session.account_id,
        client_id=client.id,
        details={"scopes": list(requested)},
        now=now,
    )
    return True


def _requested_scopes(interaction: Interaction, client: Client) -> tuple[str, ...]:
    parameters = Parameters(authorization_request.from_parameters(interaction.parameters))
    wanted = authorization_request.wanted(parameters, registered=client.metadata.scopes)
    return wanted.told_scopes


def _continuation(interaction_id: str | None) -> NextStep | None:
    # A sign-in in another tab renews the browser's tokens, and with them this page: the request goes on.
    if interaction_id is None or not _INTERACTION_ID.fullmatch(interaction_id):
        return None
    return NextStep("Continue", f"/authorize?request={interaction_id}")


def _unreadable(error: InvalidRequest) -> PageError:
    return PageError(
        "This request can't be read",
        "Go back to the app you came from and sign in from there.",
        code="invalid_request",
        status=error.status,
        next_step=NextStep("Go to your account", "/account"),
        detail=error.description,
    )


async def _person(tx: Transaction, *, account_id: str) -> tuple[str, str]:
    account = await accounts.find(tx, account_id=account_id)
    addresses = await email_addresses.of_account(tx, account_id=account_id)
    return (account.name if account else "", addresses[0].address if addresses else "")
