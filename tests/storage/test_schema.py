import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

from idp.storage import grants
from idp.storage.database import Database, Transaction
from idp.storage.migration import migrate, schema_state
from idp.storage.tables import metadata
from tests.storage import rows
from tests.support import databases, postgresql
from tests.support.frozen_clock import NOON

_ROOT = Path(__file__).parents[2]
_MIGRATE = "import asyncio, sys; from idp.storage.migration import migrate; asyncio.run(migrate(sys.argv[1]))"


_SQLITE = """
    SELECT sql FROM sqlite_master
    WHERE type IN ('table', 'index') AND sql IS NOT NULL AND name NOT LIKE 'alembic%'
"""
_POSTGRESQL = """
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return databases.sqlite_address(tmp_path / "empty.db")
    port: int = request.getfixturevalue("postgresql_port")
    name = f"empty_{tmp_path.name.replace('[', '_').replace(']', '')}"[:60]
    postgresql.create_database(port, name)
    request.addfinalizer(lambda: postgresql.drop_database(port, name))  # noqa: PT021 - one of two branches
    return f"postgresql+asyncpg://{postgresql.SUPERUSER}@127.0.0.1:{port}/{name}"


def _difference(connection: sa.Connection) -> list[Any]:  # Any: Alembic's operations are tuples of all kinds.
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, metadata))


async def test_the_migrations_build_what_the_queries_expect(database: Database) -> None:
    assert await database.read(lambda tx: tx.run_sync(_difference)) == []


async def test_constraints_and_partial_indexes_are_those_the_queries_expect(empty_database_url: str) -> None:
    # Alembic compares neither a CHECK nor the WHERE of an index: the database tells both.
    database = databases.open_for_test(empty_database_url)
    await database.transact(lambda tx: tx.run_sync(metadata.create_all))
    expected = await database.read(_definitions)
    await database.transact(lambda tx: tx.run_sync(metadata.drop_all))
    await migrate(empty_database_url)

    migrated = await database.read(_definitions)
    await database.close()

    assert len(expected) > 20
    assert migrated == expected


async def _definitions(tx: Transaction) -> set[str]:
    result = await tx.execute(sa.text(_SQLITE if tx.dialect.name == "sqlite" else _POSTGRESQL))
    return set(result.scalars())


async def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    before = await migrate(empty_database_url)
    again = await migrate(empty_database_url)

    assert before.current is None
    assert not before.is_newest
    assert again.is_newest
    assert await schema_state(empty_database_url) == again


async def test_eight_tasks_migrate_at_once(empty_database_url: str) -> None:
    states = await asyncio.gather(*(migrate(empty_database_url) for _ in range(8)))

    assert sorted(state.is_newest for state in states) == [False] + [True] * 7


def test_eight_processes_migrate_at_once(empty_database_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _MIGRATE, empty_database_url], cwd=_ROOT, stderr=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    complaints = [process.communicate()[1] for process in processes]

    assert complaints == [""] * 8
    assert [process.returncode for process in processes] == [0] * 8
    assert asyncio.run(schema_state(empty_database_url)).is_newest


async def test_a_revoked_grant_never_becomes_active(database: Database) -> None:
    await database.transact(rows.insert_grant)
    await database.transact(grants.revoke, grant_id=b"grant", reason="reuse", now=NOON)

    with pytest.raises(IntegrityError):
        await database.transact(_set, "status = 'active'")

    assert await database.transact(_status_and_generation) == ("revoked", 0)


async def test_a_generation_never_falls(database: Database) -> None:
    await database.transact(rows.insert_grant, generation=3)

    with pytest.raises(IntegrityError):
        await database.transact(_set, "generation = 2")

    assert await database.transact(_status_and_generation) == ("active", 3)


async def test_a_revoked_grant_may_still_be_counted_forward(database: Database) -> None:
    await database.transact(rows.insert_grant, status="revoked", generation=3)

    await database.transact(_set, "generation = 4")

    assert await database.transact(_status_and_generation) == ("revoked", 4)


async def _set(tx: Transaction, assignment: str) -> None:
    await tx.execute(sa.text(f"UPDATE grants SET {assignment}"))  # noqa: S608 - written out above


async def _status_and_generation(tx: Transaction) -> tuple[str, int]:
    row = (await tx.execute(sa.text("SELECT status, generation FROM grants"))).one()
    return row.status, row.generation
