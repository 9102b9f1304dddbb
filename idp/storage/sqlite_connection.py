"""Opening SQLite through aiosqlite, and knowing when its threads are done.

The driver works in a thread for each connection. One that is cut off, or cannot be opened, still answers its
event loop once from there; the loop must not be gone by then.
"""

import asyncio
from threading import Thread
from weakref import WeakSet

import aiosqlite

_PATIENCE_SECONDS = 5.0


class SqliteConnections:
    """Opens connections to one file and waits, in the end, for the threads of all of them."""

    def __init__(self, file: str, *, busy_timeout_seconds: float) -> None:
        self._file = file
        self._busy_timeout_seconds = busy_timeout_seconds
        self._threads: WeakSet[Thread] = WeakSet()

    async def open(self) -> aiosqlite.Connection:
        """Open one connection, in which nobody but us begins transactions."""
        connection = aiosqlite.connect(
            self._file, timeout=self._busy_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        # aiosqlite tells of its thread in no public way; SQLAlchemy reaches for it in the same place.
        thread = connection._thread  # noqa: SLF001 - as said
        thread.daemon = True
        self._threads.add(thread)
        return await connection

    async def wait_for_threads(self) -> None:
        """Return when every thread has answered for the last time; all connections must be closed by then."""
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join, _PATIENCE_SECONDS)
