"""The demo app: one class an address, each a few steps over the provider and the browser's session."""

import json
from typing import Any

import httpx
import jwt
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.demo.browser_sessions import BrowserSession, BrowserSessions, Note
from idp.demo.pages import Pages, readable
from idp.demo.provider import Provider, ProviderError, SignInEndedError, UnknownStateError

API_TIMEOUT_SECONDS = 10
SEE_OTHER = 303


class HomeEndpoint:
    """`/`: "Sign in", or who is signed in, with the tokens' claims and what can be done with them."""

    def __init__(self, *, sessions: BrowserSessions, pages: Pages) -> None:
        self._sessions = sessions
        self._pages = pages

    async def get(self, request: Request) -> Response:
        session = self._sessions.find(request)
        if session is None or session.signed_in is None:
            note = session.take_note() if session else None
            return self._pages.render("welcome.html", {"note": note})
        signed_in = session.signed_in
        return self._pages.render(
            "signed_in.html",
            {
                "person": signed_in.person,
                "id_token": readable(signed_in.id_token_claims),
                "access_token": readable(_claims_for_show(signed_in.access_token)),
                "note": session.take_note(),
                "csrf_token": session.csrf_token,
            },
        )


class SignInEndpoint:
    """`/sign-in`: begins a sign-in and sends the browser to the provider."""

    def __init__(
        self, *, provider: Provider, sessions: BrowserSessions, pages: Pages, redirect_uri: str
    ) -> None:
        self._provider = provider
        self._sessions = sessions
        self._pages = pages
        self._redirect_uri = redirect_uri

    async def get(self, request: Request) -> Response:
        session = self._sessions.find(request) or BrowserSession()
        try:
            response = await self._provider.sign_in_redirect(
                request, session, redirect_uri=self._redirect_uri
            )
        except ProviderError as fault:
            return _problem(self._pages, "The demo can't sign you in right now", fault, status=502)
        self._sessions.put(response, session)
        return response


class CallbackEndpoint:
    """`/callback`: where the provider sends the browser back to."""

    def __init__(self, *, provider: Provider, sessions: BrowserSessions, pages: Pages) -> None:
        self._provider = provider
        self._sessions = sessions
        self._pages = pages

    async def get(self, request: Request) -> Response:
        session = self._sessions.find(request) or BrowserSession()
        try:
            signed_in = await self._provider.finish_sign_in(request, session)
        except UnknownStateError as fault:
            # A reloaded page, or Back: who is signed in already needs no second answer.
            if session.signed_in:
                return RedirectResponse("/", status_code=SEE_OTHER)
            return _problem(self._pages, "This sign-in can't be finished here", fault, status=400)
        except ProviderError as fault:
            return _problem(self._pages, "You are not signed in", fault, status=400)
        fresh = BrowserSession()
        fresh.signed_in = signed_in
        self._sessions.forget(session)
        # A redirect, so that the code does not stay in the address bar.
        response = RedirectResponse("/", status_code=SEE_OTHER)
        self._sessions.put(response, fresh)
        return response


class RefreshEndpoint:
    """`POST /refresh`: fresh tokens for whoever is signed in."""

    def __init__(self, *, provider: Provider, sessions: BrowserSessions, pages: Pages) -> None:
        self._provider = provider
        self._sessions = sessions
        self._pages = pages

    async def post(self, request: Request) -> Response:
        session = await _signed_in_session(request, self._sessions)
        if session is None:
            return _stale_form(self._pages)
        await refresh(session, self._provider)
        return RedirectResponse("/", status_code=SEE_OTHER)


class CallApiEndpoint:
    """`POST /call-api`: calls the API with the access token, from the backend."""

    def __init__(
        self, *, provider: Provider, sessions: BrowserSessions, pages: Pages, api_address: str
    ) -> None:
        self._provider = provider
        self._sessions = sessions
        self._pages = pages
        self._api_address = api_address

    async def post(self, request: Request) -> Response:
        session = await _signed_in_session(request, self._sessions)
        if session is None:
            return _stale_form(self._pages)
        answer = await self._call(session)
        # An access token lives for minutes: when the API does not take it, a fresh one is due.
        if answer is not None and answer.status_code == httpx.codes.UNAUTHORIZED:
            await refresh(session, self._provider)
            answer = await self._call(session) if session.signed_in else None
        if session.signed_in:
            session.note = _note_of(answer)
        return RedirectResponse("/", status_code=SEE_OTHER)

    async def _call(self, session: BrowserSession) -> httpx.Response | None:
        if session.signed_in is None:
            return None
        headers = {"Authorization": f"Bearer {session.signed_in.access_token}"}
        async with httpx.AsyncClient(timeout=API_TIMEOUT_SECONDS, trust_env=False) as client:
            try:
                return await client.get(self._api_address, headers=headers)
            except httpx.HTTPError:
                return None


class SignOutEndpoint:
    """`POST /sign-out`: ends the session here, then sends the browser on to end it at the provider."""

    def __init__(
        self, *, provider: Provider, sessions: BrowserSessions, pages: Pages, post_logout_redirect_uri: str
    ) -> None:
        self._provider = provider
        self._sessions = sessions
        self._pages = pages
        self._post_logout_redirect_uri = post_logout_redirect_uri

    async def post(self, request: Request) -> Response:
        session = await _signed_in_session(request, self._sessions)
        if session is None or session.signed_in is None:
            return _stale_form(self._pages)
        self._sessions.forget(session)
        try:
            address = await self._provider.sign_out_address(
                session.signed_in, post_logout_redirect_uri=self._post_logout_redirect_uri
            )
        except ProviderError:
            return _problem(
                self._pages,
                "You are signed out here",
                "The provider can't be reached, so you may still be signed in there.",
                status=502,
            )
        return RedirectResponse(address, status_code=SEE_OTHER)


class SignedOutEndpoint:
    """`/signed-out`: where the provider sends the browser after signing out."""

    def __init__(self, *, pages: Pages) -> None:
        self._pages = pages

    async def get(self, request: Request) -> Response:
        note = Note("You are signed out, here and at the provider.")
        return self._pages.render("welcome.html", {"note": note})


async def refresh(session: BrowserSession, provider: Provider) -> None:
    """Refresh a session's tokens, one request at a time, and leave a note of how it went."""
    before = session.signed_in
    async with session.refreshing:
        if session.signed_in is None or session.signed_in is not before:
            return  # Another request did it while this one waited.
        try:
            fresh = await provider.refresh(session.signed_in)
        except SignInEndedError as fault:
            session.signed_in = None
            session.note = Note(str(fault), is_problem=True)
        except ProviderError as fault:
            session.note = Note(str(fault), is_problem=True)
        else:
            # Who was signed out while the answer was on its way stays signed out.
            if session.signed_in is before:
                session.signed_in = fresh
                session.note = Note("The provider gave fresh tokens.")


async def _signed_in_session(request: Request, sessions: BrowserSessions) -> BrowserSession | None:
    """Answer the session of a form that one of its own pages sent, or None."""
    session = sessions.find(request)
    if session is None or session.signed_in is None:
        return None
    async with request.form(max_files=0, max_fields=5, max_part_size=1_000) as form:
        return session if session.is_own_form(form.get("csrf_token")) else None


def _note_of(answer: httpx.Response | None) -> Note:
    if answer is None:
        return Note("The API can't be reached. Try again in a moment.", is_problem=True)
    if not answer.is_success:
        return Note(f"The API refused the access token ({answer.status_code}).", is_problem=True)
    return Note("The API accepted the access token and answered:", answer=json.dumps(answer.json(), indent=2))


# Any: claims are whatever JSON the provider signed.
def _claims_for_show(access_token: str) -> dict[str, Any]:
    """Read an access token's claims to show them; an app must not rely on them, they are the API's."""
    try:
        claims: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return {}
    return claims


def _problem(pages: Pages, heading: str, fault: object, *, status: int) -> Response:
    return pages.render("problem.html", {"heading": heading, "message": str(fault)}, status=status)


def _stale_form(pages: Pages) -> Response:
    message = "It was open for too long, or you signed out meanwhile. Nothing was done."
    return _problem(pages, "This page is out of date", message, status=403)
