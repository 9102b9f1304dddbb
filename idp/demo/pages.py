import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from idp import resources

_STATIC = Path(__file__).parent / "static"
_KINDS = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
# Claims that are seconds since 1970 (RFC 7519 §2, NumericDate).
_MOMENTS = frozenset({"iat", "exp", "nbf", "auth_time", "updated_at"})


class Pages:
    """Renders the demo's pages and serves their style; no page has a script."""

    def __init__(self, *, issuer: str) -> None:
        self._files = {file.name: file.read_bytes() for file in _STATIC.iterdir() if file.suffix in _KINDS}
        # Chromium applies form-action to redirects too, and "Sign out" goes on to the provider.
        self._policy = (
            "default-src 'none'; style-src 'self'; img-src 'self'; "
            f"form-action 'self' {issuer}; frame-ancestors 'none'; base-uri 'none'"
        )
        self._environment = Environment(
            loader=FileSystemLoader(resources.directory("templates") / "demo"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(issuer=issuer, static=self._address)

    def render(self, template: str, context: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
        """Render a page under the strictest policy that it works with."""
        html = self._environment.get_template(template).render(**context)
        return HTMLResponse(html, status_code=status, headers={"Content-Security-Policy": self._policy})

    async def get(self, request: Request) -> Response:
        """Serve a file by its exact name."""
        name = request.path_params["name"]
        content = self._files.get(name)
        if content is None:
            return Response("Not found", status_code=404, media_type="text/plain")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=_KINDS[Path(name).suffix], headers=headers)

    def _address(self, name: str) -> str:
        """Answer a file's address, which changes with its content."""
        return f"/static/{name}?v={hashlib.sha256(self._files[name]).hexdigest()[:16]}"


# Any: claims are whatever JSON the provider signed.
def readable(claims: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Spell claims for people: name, value as it stands, and the moment that a number means."""
    return [(name, _spelt(value), _moment(name, value)) for name, value in claims.items()]


def _spelt(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _moment(name: str, value: object) -> str:
    if name not in _MOMENTS or not isinstance(value, int):
        return ""
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
