from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from idp import opaque_token
from idp.settings import Sessions
from idp.storage import browser_sessions
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database

_TOKEN_LENGTH = 43
# Not every request is worth a write; a minute is exact enough for an idle limit.
_TOUCH_INTERVAL = timedelta(minutes=1)


class SessionCookies:
    """Finds the session behind a request's cookie, and hands out and takes back that cookie."""

    def __init__(self, database: Database, *, lifetimes: Sessions, is_https: bool) -> None:
        self._database = database
        self._lifetimes = lifetimes
        self._is_https = is_https
        self._cookie = "__Host-idp-session" if is_https else "idp-session"

    async def current(self, request: Request, *, now: datetime) -> BrowserSession | None:
        """Answer the request's live session; a missing, broken, ended or expired one is None alike."""
        token = request.cookies.get(self._cookie, "")
        if len(token) != _TOKEN_LENGTH or opaque_token.decode(token) is None:
            return None
        session = await self._database.read_prepared(
            browser_sessions.find_live,
            cookie_sha256=opaque_token.sha256(token),
            idle_since=self.idle_since(now),
            now=now,
        )
        if session and now - session.last_seen_at >= _TOUCH_INTERVAL:
            await self._database.transact(browser_sessions.touch, session_id=session.id, now=now)
        return session

    def idle_since(self, now: datetime) -> datetime:
        """Answer the time before which a session must not have been seen last."""
        return now - timedelta(seconds=self._lifetimes.idle_lifetime_seconds)

    def put(self, response: Response, cookie_token: str) -> None:
        """Sign the browser in. SameSite=Lax: clients send people here from their own sites."""
        response.set_cookie(
            self._cookie,
            cookie_token,
            max_age=self._lifetimes.absolute_lifetime_seconds,
            httponly=True,
            secure=self._is_https,
            samesite="lax",
            path="/",
        )

    def take_back(self, response: Response) -> None:
        """Remove the cookie from the browser."""
        response.delete_cookie(self._cookie, httponly=True, secure=self._is_https, samesite="lax", path="/")
