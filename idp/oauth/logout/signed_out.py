from collections.abc import Mapping
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.clients.registry import ClientRegistry
from idp.clock import Clock
from idp.oauth.logout.front_channel import frame_address
from idp.sessions import sign_out
from idp.sessions.sign_out import AppState
from idp.storage import session_apps, sign_outs
from idp.storage.database import Database
from idp.storage.session_apps import SessionApp
from idp.storage.sign_outs import SignOut
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters


class SignedOutEndpoint:
    """`/signed-out`: has the browser tell the apps that want it so, then says how far each has been told.

    The session is gone; what is shown is known by a reference that works in this browser alone.
    """

    def __init__(
        self,
        *,
        database: Database,
        registry: ClientRegistry,
        browsers: Browsers,
        pages: Pages,
        issuer: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._browsers = browsers
        self._pages = pages
        self._issuer = issuer
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        reference = query_parameters(request).get("of")
        signed_out = await self._find(request, reference, now=now) if reference else None
        if signed_out is None:
            return self._pages.render("signed_out.html", {"apps": [], "return_to": None, "again": None})
        apps = await self._database.read(session_apps.of_sessions, session_ids=signed_out.ended_session_ids)
        has_frames = sign_out.has_frames(apps, session_id=signed_out.session_id)
        # Once: a page that is loaded again must not sign anybody out of apps they came back to.
        if has_frames and await self._database.transact(sign_outs.show, sign_out_id=signed_out.id, now=now):
            return self._tell_by_frames(signed_out, apps)
        if signed_out.returns_by_itself and signed_out.return_uri is not None:
            return RedirectResponse(signed_out.return_uri, status_code=303)
        return await self._say(signed_out, apps, now=now)

    async def _find(self, request: Request, reference: str, *, now: datetime) -> SignOut | None:
        browser = self._browsers.identify(request)
        return await self._database.read(
            sign_outs.find, sign_out_id=reference, browser_sha256=browser.sha256, now=now
        )

    def _tell_by_frames(self, signed_out: SignOut, apps: list[SessionApp]) -> Response:
        frames = [
            frame_address(app.frontchannel_logout_uri, issuer=self._issuer, session_id=app.session_id)
            for app in apps
            if app.session_id == signed_out.session_id and app.frontchannel_logout_uri is not None
        ]
        onward = sign_out.page_of(signed_out.id)
        if signed_out.returns_by_itself and signed_out.return_uri is not None:
            onward = signed_out.return_uri
        return self._pages.render(
            "signing_out.html",
            {"frames": frames, "onward": onward},
            frame_targets=tuple(dict.fromkeys(frames)),
        )

    async def _say(self, signed_out: SignOut, apps: list[SessionApp], *, now: datetime) -> Response:
        told = sign_out.told_apps(apps, asked_session_id=signed_out.session_id)
        is_pending = any(app.state is AppState.PENDING for app in told)
        return self._pages.render(
            "signed_out.html",
            {
                "apps": [{"name": app.name, "state": app.state.value} for app in told],
                "return_to": await self._return_to(signed_out, now=now),
                "again": sign_out.page_of(signed_out.id) if is_pending else None,
            },
        )

    async def _return_to(self, signed_out: SignOut, *, now: datetime) -> Mapping[str, str] | None:
        if signed_out.client_id is None or signed_out.return_uri is None:
            return None
        client = await self._registry.find(signed_out.client_id, now=now)
        if client is None or client.is_disabled:
            return None
        return {"label": f"Back to {client.metadata.client_name}", "href": signed_out.return_uri}
