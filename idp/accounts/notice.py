from collections.abc import Mapping
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.accounts import moment, onward
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.sessions.cookie import SessionCookies
from idp.storage import accounts
from idp.storage.database import Database, Transaction
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters


class NoticeEndpoint:
    """`/notice`: word that waited for the person's next sign-in, read once, before they go on."""

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        sessions: SessionCookies,
        pages: Pages,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._sessions = sessions
        self._forms = SignedInForms(browsers=browsers, sessions=sessions)
        self._pages = pages
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        request_id = onward.request_id(query_parameters(request))
        session = await self._sessions.current(request, now=now)
        if session is None:
            return RedirectResponse(onward.with_request("/login", request_id), status_code=303)
        account = await self._database.read(accounts.find, account_id=session.account_id)
        if account is None or account.notice is None:
            return RedirectResponse(onward.address(request_id), status_code=303)
        return self._pages.render(
            "notice.html",
            {**_words(account.notice, now=now), "request_id": request_id},
            browser=self._browsers.identify(request),
        )

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        await self._database.transact(read_notice, account_id=form.session.account_id, now=now)
        return RedirectResponse(onward.address(onward.request_id(form.fields)), status_code=303)


async def read_notice(tx: Transaction, *, account_id: str, now: datetime) -> None:
    """The person has read what waited for them."""
    await accounts.clear_notice(tx, account_id=account_id)
    await audit.record(tx, "notice_read", account_id=account_id, now=now)


def _words(notice: Mapping[str, str], *, now: datetime) -> dict[str, object]:
    app_name = notice.get("client_name") or None
    app = f"“{app_name}”" if app_name else "an app"
    return {
        "heading": "We signed you out everywhere",
        "message": f"An old sign-in from {app} was used twice, which can mean it was copied. So we ended "
        "every session and every app's access to your account.",
        "app_name": app_name,
        "seen_at": _moment(notice.get("at"), now=now),
    }


def _moment(text: str | None, *, now: datetime) -> moment.Moment | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.describe(at, now=now) if at.tzinfo else None
