"""Connections and transactions, for SQLite and PostgreSQL alike."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

import asyncpg  # type: ignore[import-untyped]  # It carries no types.
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from idp.errors import TemporarilyUnavailable
from idp.storage.prepared import Autocommit, Lane
from idp.storage.sqlite_connection import SqliteConnections

Transaction: TypeAlias = AsyncConnection
"""What every query and use case takes first. An alias, so that rooms above need not know SQLAlchemy."""

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 3
# PostgreSQL's SQLSTATEs for "nothing happened, the same again may succeed".
_SERIALIZATION_FAILURE = "40001"
_DEADLOCK_DETECTED = "40P01"
SQLITE_BUSY_TIMEOUT_MS = 5_000

_OUR_FAULTS = (
    IntegrityError,
    ProgrammingError,
    DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.DataError,
)
# OSError holds TimeoutError since 3.11.
_FAULTS_BELOW = (DBAPIError, PoolTimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Database:
    """One database, SQLite or PostgreSQL, and the only three ways to speak to it.

    Every way runs in a task of its own: a cancelled request never leaves a transaction open or half done.
    Trouble below (lost connection, time-out, full disk, deadlock after three tries) is raised as
    TemporarilyUnavailable, so that infrastructure can never look like a wrong token.
    """

    def __init__(
        self, engine: AsyncEngine, *, timeout_seconds: float, sqlite: SqliteConnections | None = None
    ) -> None:
        self._sqlite = sqlite
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._reader = engine.execution_options(begin="BEGIN")
        self._engine = engine
        self._timeout_seconds = timeout_seconds
        self._running: set[asyncio.Task[object]] = set()
        self.is_sqlite = engine.dialect.name == "sqlite"
        # SQLite's busy handler starves writers (46,519 : 1 : 1 commits were seen): they queue here instead.
        self._write_queue = asyncio.Lock() if self.is_sqlite else None
        autocommit = engine if self.is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._autocommit = autocommit

    async def transact(
        self, use_case: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a use case in one transaction: its return commits, its exception rolls back.

        A deadlock or serialization failure runs it again, at most three times in all.
        """

        async def run() -> T:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return await self._run(self._writer, use_case, *args, **kwargs)
                except DBAPIError as fault:
                    if attempt == ATTEMPTS or not _may_succeed_again(fault):
                        raise
                    # Jitter, so that the two that collided do not meet again.
                    await asyncio.sleep(random.uniform(0.005, 0.05) * attempt)  # noqa: S311 - no secret
            raise AssertionError

        if self._write_queue is None:
            return await self._shielded(run)
        return await self._shielded(self._queued(run))

    async def read(
        self, query: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run queries that write nothing, in one transaction."""
        return await self._shielded(lambda: self._run(self._reader, query, *args, **kwargs))

    async def single(
        self,
        statement: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run one statement that commits itself: one round trip on PostgreSQL."""
        if self._write_queue is None:
            return await self._shielded(lambda: self._run_single(statement, *args, **kwargs))
        return await self.transact(statement, *args, **kwargs)

    async def write_prepared(
        self, statement: Callable[Concatenate[Lane, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one prepared statement that commits itself: on PostgreSQL straight on the driver."""
        if self._write_queue is not None:
            return await self.transact(statement, *args, **kwargs)
        return await self._shielded(lambda: self._run_prepared(statement, *args, **kwargs))

    async def read_prepared(
        self, query: Callable[Concatenate[Lane, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one prepared query: on PostgreSQL straight on the driver, without a transaction around it."""
        if self._write_queue is not None:
            return await self.read(query, *args, **kwargs)
        return await self._shielded(lambda: self._run_prepared(query, *args, **kwargs))

    async def close(self) -> None:
        """Wait for what is running and close every connection."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._timeout_seconds)
        await self._engine.dispose()
        if self._sqlite is not None:
            await self._sqlite.wait_for_threads()

    def _queued(self, run: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        async def queued() -> T:
            if self._write_queue is None:
                raise AssertionError
            async with asyncio.timeout(self._timeout_seconds):
                await self._write_queue.acquire()
            try:
                return await run()
            finally:
                self._write_queue.release()

        return queued

    async def _run(
        self,
        engine: AsyncEngine,
        use_case: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        async with asyncio.timeout(2 * self._timeout_seconds), engine.begin() as tx:
            return await use_case(tx, *args, **kwargs)

    async def _run_single(
        self,
        statement: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        async with asyncio.timeout(2 * self._timeout_seconds), self._autocommit.connect() as tx:
            return await statement(tx, *args, **kwargs)

    async def _run_prepared(
        self,
        statement: Callable[Concatenate[Lane, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        # The pool replaces what a restart closed, and waits no longer than its own limit; the driver has the
        # limit for each statement.
        pooled = await self._engine.raw_connection()
        driver = pooled.driver_connection
        if not isinstance(driver, asyncpg.Connection):
            raise TypeError(type(driver))
        try:
            answer = await statement(Autocommit(driver, dialect=self._engine.dialect), *args, **kwargs)
        except asyncpg.PostgresError:
            # The server answered: the connection is as good as before.
            pooled.close()
            raise
        except BaseException:
            pooled.invalidate()
            raise
        pooled.close()
        return answer

    async def _shielded(self, run: Callable[[], Awaitable[T]]) -> T:
        task: asyncio.Task[T] = asyncio.ensure_future(_awaited(run))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except _OUR_FAULTS:
            raise  # Never the infrastructure's.
        except _FAULTS_BELOW as fault:
            raise TemporarilyUnavailable(
                detail=f"database: {type(fault).__name__}: {_first_line(fault)}"
            ) from fault


async def _awaited(run: Callable[[], Awaitable[T]]) -> T:
    return await run()


def _first_line(fault: BaseException) -> str:
    # The statement's parameters follow on later lines, and may be secrets.
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    return str(cause).splitlines()[0][:200] if str(cause) else ""


def _may_succeed_again(fault: DBAPIError) -> bool:
    return getattr(fault.orig, "sqlstate", None) in {_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED}


def open_database(url: str, *, pool_size: int, timeout_seconds: float) -> Database:
    """Prepare the connections that `url` describes; none opens before it is needed (nor before a fork)."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        sqlite = SqliteConnections(parsed.database or "", busy_timeout_seconds=SQLITE_BUSY_TIMEOUT_MS / 1000)
        engine = _sqlite_engine(parsed, sqlite, pool_size=pool_size)
        return Database(engine, timeout_seconds=timeout_seconds, sqlite=sqlite)
    engine = _postgresql_engine(parsed, pool_size=pool_size, timeout_seconds=timeout_seconds)
    return Database(engine, timeout_seconds=timeout_seconds)


def sqlite_file(url: str) -> str | None:
    """Answer the file behind an SQLite URL, or None for PostgreSQL."""
    parsed = make_url(url)
    return parsed.database if parsed.get_backend_name() == "sqlite" else None


def _sqlite_engine(url: URL, connections: SqliteConnections, *, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        url, async_creator=connections.open, pool_size=pool_size, max_overflow=0, hide_parameters=True
    )
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # An answer leaves only after a durable commit.
        "foreign_keys=ON",
        f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
        "trusted_schema=OFF",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _postgresql_engine(url: URL, *, pool_size: int, timeout_seconds: float) -> AsyncEngine:
    milliseconds = str(int(timeout_seconds * 1000))
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        hide_parameters=True,
        connect_args={
            "timeout": timeout_seconds,
            "command_timeout": timeout_seconds,
            "server_settings": {
                "application_name": "idp",
                "jit": "off",
                "timezone": "UTC",
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
            },
        },
    )
    sa.event.listen(engine.sync_engine, "checkout", _replace_closed)
    return engine


def _replace_closed(
    _connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    # A restarted server closes idle connections; the driver has noticed, so asking costs no round trip.
    if entry.driver_connection is not None and entry.driver_connection.is_closed():
        raise DisconnectionError("closed while it was idle")


async def insert_if_new(tx: Transaction, table: sa.Table, values: dict[str, object]) -> bool:
    """Insert a row unless one with its key is there already; answer whether it was inserted."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite_dialect.insert
    result = await tx.execute(insert(table).values(values).on_conflict_do_nothing())
    return result.rowcount == 1
