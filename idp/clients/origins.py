import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from idp.storage import clients
from idp.storage.database import Database, Transaction
from idp.web import cors

FRESH_FOR = timedelta(seconds=10)
_BATCH = 500


class ClientOrigins:
    """Which pages of other origins may call: those of registered clients (their redirect URIs' origins)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._origins: frozenset[str] = frozenset()
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def preflight(self, request: Request, *, methods: str, now: datetime) -> Response:
        """Answer a CORS preflight, which names an origin but no client."""
        origin = request.headers.get("origin")
        is_known = origin is not None and origin in await self._known(now=now)
        return cors.preflight(request, is_known=is_known, methods=methods)

    def allow(self, request: Request, client_uris: Sequence[str]) -> None:
        """Let the client's own pages read whatever the answer will be."""
        cors.allow_own_pages(request, client_uris)

    async def allow_known(self, request: Request, *, now: datetime) -> None:
        """Let every registered client's pages read an answer that says nothing of anyone."""
        origin = request.headers.get("origin")
        if origin is not None and origin in await self._known(now=now):
            cors.allow_origin(request, origin)

    async def _known(self, *, now: datetime) -> frozenset[str]:
        # One scan in ten seconds, however many strangers ask.
        async with self._reading:
            if self._read_at is None or not timedelta(0) <= now - self._read_at < FRESH_FOR:
                self._origins = await self._database.read(_all_origins)
                self._read_at = now
        return self._origins


async def _all_origins(tx: Transaction) -> frozenset[str]:
    origins: set[str] = set()
    after = ""
    while rows := await clients.listed(tx, after=after, limit=_BATCH):
        after = rows[-1].id
        for row in rows:
            redirect_uris = row.metadata.get("redirect_uris", [])
            if row.disabled_at is None and isinstance(redirect_uris, list):
                origins.update(cors.origin_of(str(uri)) for uri in redirect_uris)
    return frozenset(origins)
