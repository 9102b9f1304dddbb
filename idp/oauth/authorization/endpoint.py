from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import opaque_token
from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.errors import (
    AuthorizationError,
    InvalidRequest,
    NextStep,
    OAuthError,
    PageError,
)
from idp.keys import signing
from idp.keys.compact_jws import TokenError
from idp.keys.keyring import Keyring
from idp.oauth.authorization import request as authorization_request
from idp.oauth.authorization.decision import Situation, Step, decide
from idp.oauth.authorization.issue import Issuing, issue_code
from idp.oauth.authorization.pushed import PREFIX, use_reference
from idp.oauth.authorization.receiving import Received, RequestReceiver
from idp.oauth.authorization.request import AuthorizationRequest
from idp.oauth.grant_token import GrantTokenKeys
from idp.sessions.cookie import SessionCookies
from idp.settings import Settings
from idp.storage import connections, interactions
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database
from idp.storage.interactions import Interaction
from idp.web.browser import Browser, Browsers
from idp.web.client_response import ClientResponse
from idp.web.pages import Pages
from idp.web.parameters import Parameters, form_parameters, query_parameters, query_string
from idp.web.rate_limit import RateLimiter

INTERACTION_LIFETIME = timedelta(hours=1)
_INTERACTION_ID_LENGTH = 22


class AuthorizationEndpoint:
    """`/authorize`: decides what a request still needs, and answers the client when nothing is missing.

    Sign-in, sign-up and consent come back here with `?request=ID`, and everything is decided afresh.
    """

    def __init__(
        self,
        *,
        database: Database,
        registry: ClientRegistry,
        receiver: RequestReceiver,
        sessions: SessionCookies,
        browsers: Browsers,
        pages: Pages,
        client_response: ClientResponse,
        keyring: Keyring,
        keys: GrantTokenKeys,
        rate_limiter: RateLimiter,
        settings: Settings,
        acr_ranking: Sequence[str],
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._receiver = receiver
        self._sessions = sessions
        self._browsers = browsers
        self._pages = pages
        self._client_response = client_response
        self._keyring = keyring
        self._keys = keys
        self._rate_limiter = rate_limiter
        self._settings = settings
        self._acr_ranking = acr_ranking
        self._clock = clock

    async def get(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("sign_in")
        now = self._clock()
        try:
            parameters = query_parameters(request)
        except InvalidRequest as error:
            raise AuthorizationError(error, target=None) from error
        browser = self._browsers.identify(request)
        # Ours is the only request without a client_id; with one, `request` is OIDC's request object.
        if "client_id" not in parameters.names() and "request" in parameters.names():
            interaction = await self._resume(parameters, browser)
            if interaction.used_at is not None:
                return await self._already_finished(interaction, now=now)
            if interaction.expires_at <= now:
                return self._waited_too_long(interaction)
            stored = Parameters(authorization_request.from_parameters(interaction.parameters))
            received = await self._receiver.receive(stored, interaction=interaction, is_pushed=True, now=now)
        else:
            received = await self._receive(parameters, now=now)
        try:
            return await self._answer(request, received, browser, now=now)
        except OAuthError as error:
            raise AuthorizationError(error, target=received.request.target) from error

    async def post(self, request: Request) -> Response:
        """OIDC Core §3.1.2.1: the same by POST; a GET brings the SameSite=Lax cookies along."""
        try:
            in_address, in_body = query_parameters(request), await form_parameters(request)
            # OAuth 2.1 §3.1: what stands in both places is repeated, and refused as such.
            query = query_string((*in_address.pairs(), *in_body.pairs()))
        except InvalidRequest as error:
            raise AuthorizationError(error, target=None) from error
        return RedirectResponse(f"/authorize?{query}", status_code=303)

    async def _receive(self, parameters: Parameters, *, now: datetime) -> Received:
        """Read a request that came through the browser, by itself or by reference to a pushed one."""
        request_uri = _single(parameters, "request_uri")
        if request_uri is None or not request_uri.startswith(PREFIX):
            return await self._receiver.receive(parameters, interaction=None, is_pushed=False, now=now)
        try:
            pushed = await use_reference(self._database, parameters, now=now)
        except OAuthError as error:
            raise AuthorizationError(error, target=None) from error
        return await self._receiver.receive(pushed, interaction=None, is_pushed=True, now=now)

    async def _answer(
        self, request: Request, received: Received, browser: Browser, *, now: datetime
    ) -> Response:
        session = await self._sessions.current(request, now=now)
        situation = await self._situation(received, session, now=now)
        step = decide(received.request, situation)
        if isinstance(step, OAuthError):
            return await self._refuse(step, received, now=now)
        if step is Step.ISSUE and session is not None:
            code = await self._database.transact(
                issue_code,
                Issuing(
                    request=received.request,
                    client=received.client,
                    session=session,
                    interaction=received.interaction,
                    acr_ranking=self._acr_ranking,
                ),
                keys=self._keys,
                rules=self._settings.tokens,
                now=now,
            )
            if code is not None:
                return self._client_response.to(received.request.target, {"code": code})
            # Something ended while we looked: decide afresh.
            return RedirectResponse(_again(received), status_code=303)
        return await self._wait(step, received, browser, now=now)

    async def _situation(
        self, received: Received, session: BrowserSession | None, *, now: datetime
    ) -> Situation:
        connection = None
        if session is not None:
            connection = await self._database.read_prepared(
                connections.find, account_id=session.account_id, client_id=received.client.id
            )
        return Situation(
            session=session,
            interaction=received.interaction,
            allowed_scopes=connection.scopes if connection else (),
            is_first_party=received.client.is_first_party,
            hinted_accounts=self._hinted_accounts(received.request),
            acr_ranking=self._acr_ranking,
            now=now,
        )

    def _hinted_accounts(self, request: AuthorizationRequest) -> frozenset[str] | None:
        """Answer whom alone the request is about, if it says."""
        if request.id_token_hint is None:
            return request.claims.subjects
        try:
            claims = signing.verify_id_token_hint(
                request.id_token_hint, keyring=self._keyring, issuer=self._settings.issuer
            )
        except TokenError as error:
            raise InvalidRequest("id_token_hint is no ID Token of ours", detail=str(error)) from error
        hinted = frozenset({str(claims.get("sub"))})
        if request.claims.subjects is not None and hinted.isdisjoint(request.claims.subjects):
            raise InvalidRequest("id_token_hint and claims are about different people")
        return hinted

    async def _refuse(self, error: OAuthError, received: Received, *, now: datetime) -> Response:
        if received.interaction is not None:
            await self._database.transact(
                interactions.use,
                interaction_id=received.interaction.id,
                browser_sha256=received.interaction.browser_sha256,
                now=now,
            )
        raise error

    async def _wait(self, step: Step, received: Received, browser: Browser, *, now: datetime) -> Response:
        """Keep the request on the server and send the person to the page that they need."""
        interaction = received.interaction
        if interaction is None:
            interaction = Interaction(
                id=opaque_token.new_identifier(),
                browser_sha256=browser.sha256,
                client_id=received.client.id,
                parameters=authorization_request.to_parameters(
                    received.parameters, received.parameters.names()
                ),
                created_at=now,
                expires_at=now + INTERACTION_LIFETIME,
            )
            await self._database.transact(interactions.insert, interaction)
        page = {Step.SIGN_IN: "/login", Step.SIGN_UP: "/signup", Step.CONSENT: "/consent"}[step]
        response = RedirectResponse(f"{page}?request={interaction.id}", status_code=303)
        self._browsers.remember(response, browser)
        return response

    async def _resume(self, parameters: Parameters, browser: Browser) -> Interaction:
        interaction_id = _single(parameters, "request")
        interaction = None
        if interaction_id is not None and len(interaction_id) == _INTERACTION_ID_LENGTH:
            interaction = await self._database.read(
                interactions.find, interaction_id=interaction_id, browser_sha256=browser.sha256
            )
        if interaction is None:
            # Same words for unknown, forgotten and another browser's.
            raise PageError(
                "This page waited too long",
                "Go back to the app you came from and sign in from there.",
                code="unknown_interaction",
                status=400,
                next_step=NextStep("Go to your account", "/account"),
            )
        return interaction

    async def _already_finished(self, interaction: Interaction, *, now: datetime) -> Response:
        client = await self._registry.find(interaction.client_id, now=now)
        return self._pages.render(
            "finished.html",
            {
                "client_name": client.metadata.client_name if client else "the app",
                "app_address": client.metadata.client_uri if client else None,
            },
        )

    def _waited_too_long(self, interaction: Interaction) -> Response:
        pairs = authorization_request.from_parameters(interaction.parameters)
        return self._pages.render("expired.html", {"continue_address": "/authorize?" + urlencode(pairs)})


def _again(received: Received) -> str:
    if received.interaction is not None:
        return f"/authorize?request={received.interaction.id}"
    return "/authorize?" + urlencode(received.parameters.pairs())


def _single(parameters: Parameters, name: str) -> str | None:
    try:
        return parameters.get(name)
    except InvalidRequest:
        return None
