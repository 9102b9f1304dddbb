import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from idp.errors import InvalidGrant, TemporarilyUnavailable
from idp.storage import deployment
from idp.storage.database import ATTEMPTS, Database, Transaction, insert_if_new, sqlite_file
from idp.storage.tables import deployment as deployment_table
from tests.support import databases, postgresql


async def _write(tx: Transaction, *, name: str, value: str = "1") -> None:
    await tx.execute(sa.insert(deployment_table).values(name=name, value=value))


async def _names(tx: Transaction) -> list[str]:
    result = await tx.execute(sa.select(deployment_table.c.name).order_by(deployment_table.c.name))
    return list(result.scalars())


async def _one(tx: Transaction) -> int:
    result = await tx.execute(sa.select(sa.literal(1)))
    return result.scalar_one()


@pytest.fixture
async def postgresql_database(postgresql_url: str) -> AsyncIterator[Database]:
    opened = databases.open_for_test(postgresql_url, pool_size=3, timeout_seconds=1)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    opened = databases.open_for_test(sqlite_url)
    yield opened
    await opened.close()


async def _open_transactions(url: str) -> int:
    """Count the transactions that anyone else has open."""
    observer = databases.open_for_test(url, pool_size=1)

    async def count(tx: Transaction) -> int:
        result = await tx.execute(
            sa.text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            )
        )
        return int(result.scalar_one())

    try:
        return await observer.read(count)
    finally:
        await observer.close()


async def test_return_commits(database: Database) -> None:
    await database.transact(_write, name="kept")

    assert await database.read(_names) == ["kept"]


async def test_raise_rolls_back(database: Database) -> None:
    async def write_and_raise(tx: Transaction) -> None:
        await _write(tx, name="lost")
        raise InvalidGrant("no")

    with pytest.raises(InvalidGrant):
        await database.transact(write_and_raise)

    assert await database.read(_names) == []


async def test_a_single_statement_commits_itself(database: Database) -> None:
    await database.single(_write, name="kept")

    assert await database.read(_names) == ["kept"]


async def test_a_broken_rule_of_the_schema_is_no_trouble_below(database: Database) -> None:
    await database.transact(_write, name="once")

    for way in (database.transact, database.single):
        with pytest.raises(IntegrityError):
            await way(_write, name="once")

    assert await database.read(_one) == 1


async def test_a_row_is_inserted_only_if_its_key_is_new(database: Database) -> None:
    first = await database.transact(insert_if_new, deployment_table, {"name": "a", "value": "1"})
    second = await database.transact(insert_if_new, deployment_table, {"name": "a", "value": "2"})

    assert (first, second) == (True, False)
    assert await database.transact(deployment.agree, name="a", value="3") == "1"


@pytest.mark.parametrize("way", ["transact", "single"])
async def test_what_a_cancelled_caller_began_is_finished(database: Database, way: str) -> None:
    begun = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        begun.set()
        await asyncio.sleep(0.2)
        await _write(tx, name="whole")

    caller = asyncio.ensure_future(getattr(database, way)(slow))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0.4)

    assert await database.read(_names) == ["whole"]


async def test_a_cancelled_caller_leaves_no_transaction_open(
    postgresql_database: Database, postgresql_url: str
) -> None:
    begun = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await _write(tx, name="whole")
        begun.set()
        await asyncio.sleep(0.2)

    caller = asyncio.ensure_future(postgresql_database.transact(slow))
    await begun.wait()
    assert await _open_transactions(postgresql_url) == 1
    caller.cancel()
    await asyncio.sleep(0.4)

    assert await _open_transactions(postgresql_url) == 0


async def test_closing_waits_for_what_is_running(sqlite_url: str) -> None:
    closing, later = databases.open_for_test(sqlite_url), databases.open_for_test(sqlite_url)
    begun = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        begun.set()
        await asyncio.sleep(0.2)
        await _write(tx, name="whole")

    caller = asyncio.ensure_future(closing.transact(slow))
    await begun.wait()
    await closing.close()

    assert await later.read(_names) == ["whole"]
    await caller
    await later.close()


async def test_a_use_case_that_hangs_is_ended_and_rolled_back(database_url: str) -> None:
    impatient = databases.open_for_test(database_url, timeout_seconds=0.2)

    async def hang(tx: Transaction) -> None:
        await _write(tx, name="lost")
        await asyncio.sleep(60)

    with pytest.raises(TemporarilyUnavailable):
        await impatient.transact(hang)

    assert await impatient.read(_names) == []
    await impatient.close()


async def test_a_deadlock_is_tried_again(database_url: str) -> None:
    database = databases.open_for_test(database_url, timeout_seconds=10)
    attempts = []

    async def lock_both(tx: Transaction, *, first: str, second: str) -> None:
        attempts.append(first)
        for name in (first, second):
            await deployment.replace(tx, name=name, value=first)
            await asyncio.sleep(0.2)

    for name in ("a", "b"):
        await database.transact(_write, name=name)
    await asyncio.gather(
        database.transact(lock_both, first="a", second="b"),
        database.transact(lock_both, first="b", second="a"),
    )

    # SQLite has one writer at a time, and so no deadlock.
    assert len(attempts) == (2 if database.is_sqlite else 3)
    await database.close()


async def test_after_three_deadlocks_the_caller_may_try_later(postgresql_database: Database) -> None:
    attempts = []

    async def deadlock(tx: Transaction) -> None:
        attempts.append(1)
        await tx.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END $$"))

    with pytest.raises(TemporarilyUnavailable):
        await postgresql_database.transact(deadlock)

    assert len(attempts) == ATTEMPTS == 3


@pytest.mark.parametrize("way", ["transact", "read", "single"])
async def test_a_lost_connection_is_trouble_below(postgresql_database: Database, way: str) -> None:
    async def end_own_connection(tx: Transaction) -> None:
        await tx.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(TemporarilyUnavailable):
        await getattr(postgresql_database, way)(end_own_connection)

    assert await getattr(postgresql_database, way)(_one) == 1


@pytest.mark.parametrize("way", ["transact", "read", "single"])
async def test_connections_that_died_while_idle_are_replaced_in_silence(
    postgresql_database: Database, postgresql_url: str, way: str
) -> None:
    async def hold(tx: Transaction) -> int:
        await asyncio.sleep(0.1)
        return await _one(tx)

    async def end_all_others(tx: Transaction) -> None:
        await tx.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    await asyncio.gather(*(postgresql_database.read(hold) for _ in range(3)))
    other = databases.open_for_test(postgresql_url, pool_size=1)
    await other.read(end_all_others)
    await other.close()
    await asyncio.sleep(0.1)

    call = getattr(postgresql_database, way)
    assert await asyncio.gather(*(call(hold) for _ in range(3))) == [1, 1, 1]


@pytest.mark.parametrize("way", ["transact", "read", "single"])
async def test_a_statement_that_takes_too_long_is_trouble_below(
    postgresql_database: Database, way: str
) -> None:
    async def sleep(tx: Transaction) -> None:
        await tx.execute(sa.text("SELECT pg_sleep(30)"))

    with pytest.raises(TemporarilyUnavailable):
        await getattr(postgresql_database, way)(sleep)


@pytest.mark.parametrize("way", ["transact", "read", "single"])
async def test_a_pool_without_a_free_connection_is_trouble_below(postgresql_url: str, way: str) -> None:
    small = databases.open_for_test(postgresql_url, pool_size=1, timeout_seconds=0.5)
    taken = asyncio.Event()

    async def hold(tx: Transaction) -> int:
        taken.set()
        await asyncio.sleep(0.4)
        await _one(tx)
        await asyncio.sleep(0.4)
        return await _one(tx)

    holder = asyncio.ensure_future(small.read(hold))
    await taken.wait()

    with pytest.raises(TemporarilyUnavailable):
        await getattr(small, way)(_one)
    assert await holder == 1
    await small.close()


@pytest.mark.parametrize("way", ["transact", "read", "single"])
async def test_a_server_that_is_away_is_trouble_below(way: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{unused.getsockname()[1]}/idp"
        database = databases.open_for_test(url)

        with pytest.raises(TemporarilyUnavailable) as caught:
            await getattr(database, way)(_one)

    assert "database: ConnectionRefusedError" in (caught.value.detail or "")
    await database.close()


async def test_a_server_without_room_is_trouble_below() -> None:
    with postgresql.PostgresqlServer() as server:
        server.stop()
        server.start(
            {
                **postgresql.FAST,
                "max_connections": "3",
                "superuser_reserved_connections": "0",
                "max_wal_senders": "0",
            }
        )
        opened = [databases.open_for_test(server.url("postgres"), pool_size=1) for _ in range(4)]

        answers = await asyncio.gather(*(node.read(_one) for node in opened), return_exceptions=True)

        assert [type(answer) for answer in answers].count(TemporarilyUnavailable) == 1
        for node in opened:
            await node.close()


async def test_trouble_below_tells_no_parameter(postgresql_database: Database) -> None:
    async def sleep(tx: Transaction) -> None:
        await tx.execute(sa.text("SELECT pg_sleep(30), CAST(:secret AS text)"), {"secret": "hunter2"})

    with pytest.raises(TemporarilyUnavailable) as caught:
        await postgresql_database.transact(sleep)

    assert "statement timeout" in (caught.value.detail or "")
    assert "hunter2" not in (caught.value.detail or "")


async def test_sqlite_answers_only_after_a_durable_commit(sqlite_database: Database) -> None:
    async def pragmas(tx: Transaction) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout")
        return {name: (await tx.execute(sa.text(f"PRAGMA {name}"))).scalar_one() for name in names}

    assert await sqlite_database.read(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "busy_timeout": 5000,
    }


async def test_sqlite_is_never_locked_under_parallel_load(sqlite_url: str) -> None:
    server = databases.open_for_test(sqlite_url, timeout_seconds=30)
    command = databases.open_for_test(sqlite_url, timeout_seconds=30)

    async def write_after_reading(tx: Transaction, *, name: str) -> None:
        # A deferred transaction would fail here at once: it cannot turn from reader to writer.
        await _names(tx)
        await _write(tx, name=name)

    await asyncio.gather(
        *(server.transact(write_after_reading, name=f"server {number}") for number in range(150)),
        *(server.read(_names) for _ in range(150)),
        *(command.transact(write_after_reading, name=f"command {number}") for number in range(20)),
    )

    assert len(await server.read(_names)) == 170
    await server.close()
    await command.close()


async def test_a_writer_that_waits_too_long_may_try_later(sqlite_url: str) -> None:
    impatient = databases.open_for_test(sqlite_url, timeout_seconds=0.3)

    async def slow(tx: Transaction) -> None:
        await asyncio.sleep(0.5)
        await _one(tx)

    first = asyncio.ensure_future(impatient.transact(slow))
    await asyncio.sleep(0.05)

    with pytest.raises(TemporarilyUnavailable):
        await impatient.transact(_write, name="late")
    await first
    assert await impatient.read(_names) == []
    await impatient.close()


async def test_another_process_that_holds_sqlite_is_waited_for(sqlite_url: str) -> None:
    database = databases.open_for_test(sqlite_url)
    holder = sqlite3.connect(sqlite_file(sqlite_url) or "", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    waiting = asyncio.ensure_future(database.transact(_write, name="after"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    holder.execute("COMMIT")
    holder.close()
    await waiting

    assert await database.read(_names) == ["after"]
    await database.close()


async def test_an_embedded_database_that_cannot_be_opened_is_trouble_below(tmp_path: Path) -> None:
    database = databases.open_for_test(databases.sqlite_address(tmp_path / "missing" / "idp.db"))

    with pytest.raises(TemporarilyUnavailable) as caught:
        await database.read(_one)

    assert "unable to open database file" in (caught.value.detail or "")
    await database.close()


def test_an_embedded_database_names_its_file() -> None:
    assert sqlite_file("sqlite+aiosqlite:///var/idp.db") == "var/idp.db"
    assert sqlite_file("postgresql+asyncpg://host/name") is None
