"""The short way to PostgreSQL: the same rows as by SQLAlchemy, and the same names for what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg  # type: ignore[import-untyped]  # It carries no types.
import pytest
import sqlalchemy as sa

from idp.errors import TemporarilyUnavailable
from idp.storage.database import Database
from idp.storage.prepared import Lane, Prepared, first_row
from tests.support import databases

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
_EVERYTHING = Prepared(
    sa.select(
        sa.bindparam("instant", type_=sa.DateTime(timezone=True)),
        sa.bindparam("raw", type_=sa.LargeBinary),
        sa.cast(sa.bindparam("number", type_=sa.Integer), sa.Integer),
        sa.cast(sa.literal('{"a": [1]}', sa.Text), sa.JSON),
    )
)
_SLEEP = Prepared(sa.select(sa.func.pg_sleep(sa.bindparam("seconds", type_=sa.Float))))
_DIVIDE = Prepared(sa.select(1 // sa.bindparam("number", type_=sa.Integer)))


@pytest.fixture
async def postgresql_database(postgresql_url: str) -> AsyncIterator[Database]:
    opened = databases.open_for_test(postgresql_url, pool_size=3, timeout_seconds=1)
    yield opened
    await opened.close()


async def everything(lane: Lane) -> tuple[object, ...] | None:
    return await first_row(lane, _EVERYTHING, {"instant": NOON, "raw": b"\x00\xff", "number": 7})


async def sleep(lane: Lane, *, seconds: float) -> None:
    await first_row(lane, _SLEEP, {"seconds": seconds})


async def divide_by(lane: Lane, *, number: int) -> None:
    await first_row(lane, _DIVIDE, {"number": number})


async def test_the_driver_answers_what_sqlalchemy_answers(postgresql_database: Database) -> None:
    expected = (NOON, b"\x00\xff", 7, {"a": [1]})
    assert await postgresql_database.read_prepared(everything) == expected
    assert await postgresql_database.write_prepared(everything) == expected
    assert await postgresql_database.read(everything) == expected


async def test_our_own_fault_is_told_from_trouble_below(postgresql_database: Database) -> None:
    with pytest.raises(asyncpg.DataError):
        await postgresql_database.read_prepared(divide_by, number=0)
    assert await postgresql_database.read_prepared(everything) is not None


async def test_a_statement_that_takes_too_long_is_trouble_below(postgresql_database: Database) -> None:
    with pytest.raises(TemporarilyUnavailable):
        await postgresql_database.read_prepared(sleep, seconds=60)
    assert await postgresql_database.read_prepared(everything) is not None


async def test_more_callers_than_connections_wait_their_turn(postgresql_database: Database) -> None:
    answers = await asyncio.gather(*(postgresql_database.read_prepared(everything) for _ in range(100)))
    assert len(answers) == 100
