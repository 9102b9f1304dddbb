"""Fresh, migrated databases for tests: copies of one that was migrated once."""

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idp.storage.database import Database, open_database
from idp.storage.migration import migrate
from tests.support import postgresql

TEMPLATE = "idp_template"
TIMEOUT_SECONDS = 5.0
POOL_SIZE = 20


def open_for_test(
    url: str, *, pool_size: int = POOL_SIZE, timeout_seconds: float = TIMEOUT_SECONDS
) -> Database:
    """Open a database as the server would; whoever opens it closes it."""
    return open_database(url, pool_size=pool_size, timeout_seconds=timeout_seconds)


def sqlite_address(file: Path) -> str:
    """Answer the address of an SQLite file, as `IDP_DATABASE_URL` wants it."""
    return f"sqlite+aiosqlite:///{file}"


def migrate_sqlite_template(folder: Path) -> Path:
    """Migrate an SQLite file to copy from. Call it before an event loop runs."""
    file = folder / "template.db"
    _run_apart(sqlite_address(file))
    return file


def copy_sqlite(template: Path, *, folder: Path) -> str:
    """Copy the migrated file; answer the copy's address."""
    # After its last connection closed, the template is one file: no -wal, no -shm.
    file = folder / "idp.db"
    shutil.copyfile(template, file)
    return sqlite_address(file)


def migrate_postgresql_template(server: postgresql.PostgresqlServer) -> None:
    """Migrate a database to copy from. Call it before an event loop runs."""
    _run_apart(server.create_database(TEMPLATE))


@contextmanager
def copied_postgresql(port: int) -> Iterator[str]:
    """Copy the migrated database on the server at `port`; answer the address, drop it at the end."""
    name = f"test_{uuid.uuid4().hex}"
    postgresql.create_database(port, name, template=TEMPLATE)
    try:
        yield f"postgresql+asyncpg://{postgresql.SUPERUSER}@127.0.0.1:{port}/{name}"
    finally:
        postgresql.drop_database(port, name)


def _run_apart(url: str) -> None:
    # A runner of its own: asyncio.run() would take the current loop away from pytest-asyncio.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(migrate(url))
    finally:
        loop.close()
