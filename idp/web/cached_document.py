import hashlib
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from idp.web.cors import allow_everyone


class CachedDocument:
    """A public JSON document with the headers that let everyone keep it (RFC 9111 §5.2, RFC 9110 §13.1.2)."""

    def __init__(self, content: Mapping[str, object], *, max_age_seconds: int) -> None:
        self._body = json.dumps(content, separators=(",", ":")).encode()
        self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
        self._cache_control = f"public, max-age={max_age_seconds}"

    def response(self, request: Request) -> Response:
        """Answer the document, or 304 to a caller that has it."""
        headers = {"ETag": self._etag, "Cache-Control": self._cache_control}
        presented = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
        if presented & {self._etag, f"W/{self._etag}", "*"}:
            return allow_everyone(Response(status_code=304, headers=headers))
        return allow_everyone(Response(self._body, media_type="application/json", headers=headers))
