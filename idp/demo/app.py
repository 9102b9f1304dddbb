from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.demo.api import HelloEndpoint
from idp.demo.back_channel_logout import BackChannelLogoutEndpoint
from idp.demo.browser_sessions import BrowserSessions
from idp.demo.pages import Pages
from idp.demo.provider import Provider
from idp.demo.relying_party import (
    CallApiEndpoint,
    CallbackEndpoint,
    HomeEndpoint,
    RefreshEndpoint,
    SignedOutEndpoint,
    SignInEndpoint,
    SignOutEndpoint,
)
from idp.resource_server import AuthorizationServer, ProtectedResource

CALLBACK_PATH = "/callback"
SIGNED_OUT_PATH = "/signed-out"
BACK_CHANNEL_LOGOUT_PATH = "/backchannel-logout"
API_PATH = "/api"
HELLO_PATH = "/hello"

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_demo(
    *, issuer: str, client_id: str, client_secret: str, own_origin: str, api_audience: str
) -> ASGIApp:
    """Wire the app and the API that live at `own_origin` and trust `issuer`."""
    provider = Provider(issuer=issuer, client_id=client_id, client_secret=client_secret)
    sessions = BrowserSessions(is_https=own_origin.startswith("https://"))
    pages = Pages(issuer=issuer)
    home = HomeEndpoint(sessions=sessions, pages=pages)
    sign_in = SignInEndpoint(
        provider=provider, sessions=sessions, pages=pages, redirect_uri=own_origin + CALLBACK_PATH
    )
    callback = CallbackEndpoint(provider=provider, sessions=sessions, pages=pages)
    refresh = RefreshEndpoint(provider=provider, sessions=sessions, pages=pages)
    call_api = CallApiEndpoint(
        provider=provider, sessions=sessions, pages=pages, api_address=own_origin + API_PATH + HELLO_PATH
    )
    sign_out = SignOutEndpoint(
        provider=provider,
        sessions=sessions,
        pages=pages,
        post_logout_redirect_uri=own_origin + SIGNED_OUT_PATH,
    )
    server = AuthorizationServer(issuer)
    back_channel_logout = BackChannelLogoutEndpoint(server=server, client_id=client_id, sessions=sessions)
    api = ProtectedResource(
        Router([Route(HELLO_PATH, HelloEndpoint().get)]),
        server=server,
        resource=api_audience,
    )
    app = Starlette(
        routes=[
            Route("/", home.get),
            Route("/sign-in", sign_in.get),
            Route(CALLBACK_PATH, callback.get),
            Route("/refresh", refresh.post, methods=["POST"]),
            Route("/call-api", call_api.post, methods=["POST"]),
            Route("/sign-out", sign_out.post, methods=["POST"]),
            Route(SIGNED_OUT_PATH, SignedOutEndpoint(pages=pages).get),
            Route(BACK_CHANNEL_LOGOUT_PATH, back_channel_logout.post, methods=["POST"]),
            Mount(API_PATH, api),
            Route(api.metadata_path, api.metadata),
            Route("/static/{name}", pages.get),
        ]
    )
    return _WithHeaders(app)


class _WithHeaders:
    """Puts on every answer what it does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
