import asyncio
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from idp import opaque_token

MAX_SESSIONS = 1_000
MAX_AUTHORIZATIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who signed in, and the tokens: kept here, in the backend, and never sent to the browser."""

    # Any: claims are whatever JSON the provider signed or sent.
    id_token_claims: dict[str, Any]
    person: dict[str, Any]
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """What the last button did, in a sentence, with the API's answer where it was asked."""

    sentence: str
    is_problem: bool = False
    answer: str | None = None


class BrowserSession:
    """What the backend remembers of one browser."""

    def __init__(self) -> None:
        self.csrf_token = opaque_token.new_token()
        # By state, what Authlib keeps between the redirect and the callback (nonce, code_verifier): several
        # tabs may be on their way at once. Any: Authlib's own values.
        self._authorizations: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.signed_in: SignedIn | None = None
        self.note: Note | None = None
        # Two refreshes at once would present the same refresh token twice.
        self.refreshing = asyncio.Lock()

    def begin_authorization(self, state: str, kept: dict[str, Any]) -> None:
        """Remember a sign-in that is on its way."""
        self._authorizations[state] = kept
        while len(self._authorizations) > MAX_AUTHORIZATIONS:
            self._authorizations.popitem(last=False)

    def take_authorization(self, state: str) -> dict[str, Any] | None:
        """Answer what was kept for this state, once."""
        return self._authorizations.pop(state, None)

    def is_own_form(self, presented_token: object) -> bool:
        """Whether a form came from a page that this browser was given."""
        return isinstance(presented_token, str) and hmac.compare_digest(
            presented_token.encode(), self.csrf_token.encode()
        )

    def take_note(self) -> Note | None:
        """Answer the note once."""
        note, self.note = self.note, None
        return note


class BrowserSessions:
    """Finds the session behind a cookie. In memory: enough for a demo, lost when it stops."""

    def __init__(self, *, is_https: bool) -> None:
        self._sessions: OrderedDict[bytes, BrowserSession] = OrderedDict()
        self._is_https = is_https
        # Cookies do not tell ports apart, so the name must differ from the provider's.
        self._cookie = "__Host-demo-session" if is_https else "demo-session"

    def find(self, request: Request) -> BrowserSession | None:
        """Answer the request's session, if there is one."""
        key = opaque_token.sha256(request.cookies.get(self._cookie, ""))
        session = self._sessions.get(key)
        if session:
            self._sessions.move_to_end(key)
        return session

    def put(self, response: Response, session: BrowserSession) -> None:
        """Give the browser a new cookie for the session; an older cookie stops working.

        Called at each change of who is signed in, so that a cookie that somebody planted is worth nothing.
        """
        self.forget(session)
        cookie = opaque_token.new_token()
        self._sessions[opaque_token.sha256(cookie)] = session
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        # SameSite=Lax: the provider sends people back here from its own site.
        response.set_cookie(
            self._cookie, cookie, httponly=True, secure=self._is_https, samesite="lax", path="/"
        )

    def end_signed_in(self, *, sid: str | None, sub: str | None) -> None:
        """Sign out everyone who came by this session of the provider's, or, without one, this person."""
        for session in self._sessions.values():
            claims = session.signed_in.id_token_claims if session.signed_in else {}
            is_session = sid is None or claims.get("sid") == sid
            is_person = sub is None or claims.get("sub") == sub
            if session.signed_in and is_session and is_person:
                session.signed_in = None
                session.note = Note("You signed out at the provider, so you are signed out here, too.")

    def forget(self, session: BrowserSession) -> None:
        """End the session: its cookie is worth nothing from now on."""
        for key in [key for key, kept in self._sessions.items() if kept is session]:
            del self._sessions[key]
