import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from idp.clients import registration, registry
from idp.clients.client import Client
from idp.clients.metadata import parse_metadata
from idp.clients.registry import ClientRegistry
from idp.errors import TemporarilyUnavailable
from idp.storage.database import Database
from tests.support import databases
from tests.support.frozen_clock import FrozenClock

METADATA = parse_metadata({"client_name": "Demo", "redirect_uris": ["https://app.example.com/callback"]})


@pytest.fixture
def reads() -> Iterator[list[str]]:
    """Every statement that reads clients, as the database gets it."""
    statements: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM clients" in statement:
            statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    yield statements
    sa.event.remove(sa.Engine, "before_cursor_execute", listen)


async def _registered(database: Database, clock: FrozenClock, *, client_id: str = "demo") -> Client:
    registered = await database.transact(
        registration.register, metadata=METADATA, is_first_party=False, client_id=client_id, now=clock()
    )
    return registered.client


async def test_a_client_is_held_for_less_than_a_second(database: Database, clock: FrozenClock) -> None:
    client = await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    assert await registered_clients.find("demo", now=clock()) == client
    disabled = await database.transact(registration.disable, client_id="demo", now=clock())
    assert await registered_clients.find("demo", now=clock.advance(0.999)) == client
    assert await registered_clients.find("demo", now=clock.advance(0.001)) == disabled


async def test_a_deleted_client_is_unknown_after_a_second(database: Database, clock: FrozenClock) -> None:
    await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    await registered_clients.find("demo", now=clock())
    await database.transact(registration.delete, client_id="demo", now=clock())
    assert await registered_clients.find("demo", now=clock.advance(1)) is None


async def test_an_unknown_client_is_found_a_second_after_it_was_registered(
    database: Database, clock: FrozenClock
) -> None:
    registered_clients = ClientRegistry(database)
    assert await registered_clients.find("demo", now=clock()) is None
    client = await _registered(database, clock)
    assert await registered_clients.find("demo", now=clock.advance(0.5)) is None
    assert await registered_clients.find("demo", now=clock.advance(0.5)) == client


async def test_a_clock_that_was_set_back_keeps_nothing_alive(database: Database, clock: FrozenClock) -> None:
    await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    await registered_clients.find("demo", now=clock())
    disabled = await database.transact(registration.disable, client_id="demo", now=clock())
    assert await registered_clients.find("demo", now=clock.advance(-3600)) == disabled


async def test_forgetting_a_client_makes_the_next_answer_new(database: Database, clock: FrozenClock) -> None:
    await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    await registered_clients.find("demo", now=clock())
    disabled = await database.transact(registration.disable, client_id="demo", now=clock())
    registered_clients.forget("demo")
    assert await registered_clients.find("demo", now=clock()) == disabled


async def test_what_was_being_read_when_a_client_was_forgotten_is_not_kept(
    database: Database, clock: FrozenClock
) -> None:
    await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    overtaken = asyncio.create_task(registered_clients.find("demo", now=clock()))
    await asyncio.sleep(0)
    disabled = await database.transact(registration.disable, client_id="demo", now=clock())
    registered_clients.forget("demo")
    await overtaken
    assert await registered_clients.find("demo", now=clock()) == disabled


async def test_callers_at_the_same_time_share_one_read(
    database: Database, clock: FrozenClock, reads: list[str]
) -> None:
    client = await _registered(database, clock)
    reads.clear()
    registered_clients = ClientRegistry(database)
    for second in range(2):
        now = clock.advance(second)
        answers = await asyncio.gather(*(registered_clients.find("demo", now=now) for _ in range(50)))
        assert answers == [client] * 50
        assert len(reads) == second + 1


async def test_a_caller_who_leaves_takes_the_answer_from_nobody(
    database: Database, clock: FrozenClock
) -> None:
    client = await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    leaving = asyncio.create_task(registered_clients.find("demo", now=clock()))
    staying = asyncio.create_task(registered_clients.find("demo", now=clock()))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == client


@pytest.mark.parametrize("client_id", ["", "a" * 256, "a\x00", "a\nb", "ä", "\ud800", "a\x7f"])
async def test_what_can_be_no_identifier_is_not_looked_up(
    database: Database, clock: FrozenClock, reads: list[str], client_id: str
) -> None:
    assert await ClientRegistry(database).find(client_id, now=clock()) is None
    assert reads == []


async def test_a_flood_of_made_up_identifiers_is_bounded_and_pushes_out_no_client(
    database: Database, clock: FrozenClock, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_ENTRIES", 3)
    client = await _registered(database, clock)
    registered_clients = ClientRegistry(database)
    await registered_clients.find("demo", now=clock())
    for number in range(10):
        assert await registered_clients.find(f"made-up-{number}", now=clock()) is None
    reads.clear()
    assert await registered_clients.find("demo", now=clock()) == client
    assert await registered_clients.find("made-up-9", now=clock()) is None
    assert reads == []
    assert await registered_clients.find("made-up-0", now=clock()) is None
    assert len(reads) == 1


@pytest.mark.usefixtures("sqlite_url")
async def test_trouble_below_is_told_to_every_caller_and_not_remembered(
    tmp_path: Path, clock: FrozenClock
) -> None:
    file = tmp_path / "later" / "idp.db"
    database = databases.open_for_test(databases.sqlite_address(file))
    registered_clients = ClientRegistry(database)
    finding = (registered_clients.find("demo", now=clock()) for _ in range(3))
    outcomes = await asyncio.gather(*finding, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TemporarilyUnavailable] * 3
    file.parent.mkdir()
    (tmp_path / "idp.db").rename(file)
    client = await _registered(database, clock)
    assert await registered_clients.find("demo", now=clock()) == client
    await database.close()
