import hashlib
import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_ROOT = Path(__file__).parent / "static"


class StaticFiles:
    """Serves the style sheet, scripts and icons from memory, by exact name; no other file is in reach."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for file in sorted(_ROOT.rglob("*")):
            if file.is_file():
                content = file.read_bytes()
                kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                self._files[file.relative_to(_ROOT).as_posix()] = (content, kind, _digest(content))

    def address(self, name: str) -> str:
        """Answer a file's address, which changes with its content."""
        return f"/static/{name}?v={self._files[name][2]}"

    async def get(self, request: Request) -> Response:
        found = self._files.get(request.path_params["name"])
        if found is None:
            return Response("Not found", status_code=404, media_type="text/plain")
        content, kind, digest = found
        # A module imports another by its bare name: without a version it is asked about each time.
        headers = {"ETag": f'"{digest}"', "Cache-Control": "no-cache"}
        if request.query_params.get("v") == digest:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
