import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.clients import registration
from idp.clients.client import Client
from idp.storage.database import Database

FRESH_FOR = timedelta(seconds=1)  # A change on any node is seen by every node after this.
MAX_ENTRIES = 10_000
_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}")  # RFC 6749 §A.1, with a limit


@dataclass(frozen=True, slots=True)
class _Entry:
    client: Client | None
    read_at: datetime

    def is_fresh(self, *, now: datetime) -> bool:
        # A clock that was set back makes an entry stale, never everlasting.
        return timedelta(0) <= now - self.read_at < FRESH_FOR


@dataclass(frozen=True, slots=True)
class _Reading:
    task: asyncio.Task[Client | None]
    begun_at: datetime


class ClientRegistry:
    """The clients, held in memory for a second at most: the token endpoint asks for one at every request."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Apart, so that a flood of made-up identifiers pushes out no client.
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry] = OrderedDict()
        self._readings: dict[str, _Reading] = {}

    async def find(self, client_id: str, *, now: datetime) -> Client | None:
        """Answer the client, disabled or not; None when there is none, or could be none by this identifier.

        Raises TemporarilyUnavailable when the database cannot tell.
        """
        if not _CLIENT_ID.fullmatch(client_id):
            return None
        entry = self._known.get(client_id) or self._unknown.get(client_id)
        if entry is not None and entry.is_fresh(now=now):
            (self._known if entry.client else self._unknown).move_to_end(client_id)
            return entry.client
        reading = self._readings.get(client_id)
        if reading is None or not timedelta(0) <= now - reading.begun_at < FRESH_FOR:
            reading = self._begin_reading(client_id, now=now)
        # One caller who goes away must not take the answer from the others.
        return await asyncio.shield(reading.task)

    def forget(self, client_id: str) -> None:
        """Let the next `find` read the client anew, whatever is being read just now."""
        self._known.pop(client_id, None)
        self._unknown.pop(client_id, None)
        self._readings.pop(client_id, None)

    def _begin_reading(self, client_id: str, *, now: datetime) -> _Reading:
        task = asyncio.create_task(self._database.read(registration.show, client_id=client_id))
        reading = _Reading(task=task, begun_at=now)
        self._readings[client_id] = reading
        task.add_done_callback(lambda _: self._end_reading(client_id, reading))
        return reading

    def _end_reading(self, client_id: str, reading: _Reading) -> None:
        is_failed = reading.task.cancelled() or reading.task.exception() is not None
        # Forgotten or overtaken: what it read may be older than what its successor reads.
        if self._readings.get(client_id) is not reading:
            return
        del self._readings[client_id]
        if not is_failed:
            self._keep(client_id, _Entry(client=reading.task.result(), read_at=reading.begun_at))

    def _keep(self, client_id: str, entry: _Entry) -> None:
        keep, other = (self._known, self._unknown) if entry.client else (self._unknown, self._known)
        other.pop(client_id, None)
        keep[client_id] = entry
        keep.move_to_end(client_id)
        while len(keep) > MAX_ENTRIES:
            keep.popitem(last=False)
