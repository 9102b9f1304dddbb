"""Brings the database to the newest schema; any number of nodes may try at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from idp import resources
from idp.errors import TemporarilyUnavailable
from idp.storage.sqlite_connection import SqliteConnections

_ADVISORY_LOCK = 0x1D9_0000
LOCK_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Which revision the database has and which one this release brings."""

    current: str | None
    newest: str

    @property
    def is_newest(self) -> bool:
        """Whether nothing is left to do."""
        return self.current == self.newest


async def migrate(url: str) -> SchemaState:
    """Apply what is missing, one caller at a time and all or nothing; answer the state before.

    Raises TemporarilyUnavailable when the database cannot be used, as `schema_state` does.
    """
    async with _opened(url) as engine, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Held by the transaction, so it also works through a pooler in transaction mode.
            await connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        return await connection.run_sync(_upgrade)


async def schema_state(url: str) -> SchemaState:
    """Read the state and change nothing."""
    async with _opened(url) as engine, engine.connect() as connection:
        return await connection.run_sync(_state)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[AsyncEngine]:
    sqlite = SqliteConnections(make_url(url).database or "", busy_timeout_seconds=LOCK_TIMEOUT_SECONDS)
    engine = _engine(url, sqlite)
    try:
        yield engine
    except (DBAPIError, OSError) as fault:
        # Whoever runs a migration is the operator, and is told what the database said.
        cause = fault.orig if isinstance(fault, DBAPIError) else fault
        raise TemporarilyUnavailable(detail=f"the database cannot be used: {cause}") from fault
    finally:
        await engine.dispose()
        await sqlite.wait_for_threads()


def _upgrade(connection: sa.Connection) -> SchemaState:
    before = _state(connection)
    if not before.is_newest:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.directory("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _state(connection: sa.Connection) -> SchemaState:
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise AssertionError
    return SchemaState(current=MigrationContext.configure(connection).get_current_revision(), newest=newest)


def _engine(url: str, sqlite: SqliteConnections) -> AsyncEngine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_async_engine(parsed, poolclass=NullPool)
    engine = create_async_engine(parsed, poolclass=NullPool, async_creator=sqlite.open)
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    # Schema changes are transactional in SQLite too, once the driver leaves BEGIN to us.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
