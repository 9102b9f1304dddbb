from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a page needs beyond this it says itself (web/pages.py).
_STRICTEST = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PERMISSIONS = (
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)"
)
_HSTS = "max-age=63072000; includeSubDomains"  # Two years, as the preload list asks.


class SecurityHeadersMiddleware:
    """Puts the headers on every answer that keep a browser from being turned against us."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        headers = {
            "Content-Security-Policy": _STRICTEST,
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": _PERMISSIONS,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        if is_https:
            headers["Strict-Transport-Security"] = _HSTS
        # Spelt once, as ASGI wants them: every answer carries them.
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name for name, _ in message["headers"]}
                message["headers"].extend(header for header in self._headers if header[0] not in said)
            await send(message)

        await self._app(scope, receive, send_with_headers)
