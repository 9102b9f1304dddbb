import pytest

from idp.storage import connections
from idp.storage.connections import Connection
from idp.storage.database import Database
from tests.storage import rows
from tests.storage.rows import ACCOUNT, CLIENT, LATER
from tests.support.frozen_clock import NOON


@pytest.fixture(autouse=True)
async def _pair(database: Database) -> None:
    await database.transact(rows.insert_account)
    await database.transact(rows.insert_client)


async def _allow(database: Database, *scopes: str) -> Connection:
    return await database.transact(
        connections.allow, account_id=ACCOUNT, client_id=CLIENT, scopes=list(scopes), now=NOON
    )


async def test_what_is_allowed_is_remembered(database: Database) -> None:
    allowed = await _allow(database, "openid", "email")

    assert allowed == Connection(ACCOUNT, CLIENT, ["openid", "email"], 0, None, NOON, NOON)
    assert await database.read(connections.find, account_id=ACCOUNT, client_id=CLIENT) == allowed
    assert await database.read(connections.of_account, account_id=ACCOUNT) == [allowed]


async def test_allowing_again_changes_the_scopes_and_no_epoch(database: Database) -> None:
    await _allow(database, "openid")

    again = await _allow(database, "openid", "email")

    assert (again.scopes, again.token_epoch) == (["openid", "email"], 0)


async def test_withdrawing_ends_everything_once(database: Database) -> None:
    await _allow(database, "openid")

    withdrawn = [
        await database.transact(connections.withdraw, account_id=ACCOUNT, client_id=CLIENT, now=LATER)
        for _ in range(2)
    ]

    assert withdrawn == [True, False]
    assert await database.read(connections.find, account_id=ACCOUNT, client_id=CLIENT) is None
    assert await database.read(connections.of_account, account_id=ACCOUNT) == []
    assert await database.transact(connections.touch, account_id=ACCOUNT, client_id=CLIENT, now=LATER) is None


async def test_allowing_anew_brings_nothing_older_back(database: Database) -> None:
    await _allow(database, "openid")
    await database.transact(connections.withdraw, account_id=ACCOUNT, client_id=CLIENT, now=LATER)

    assert (await _allow(database, "openid")).token_epoch == 1


async def test_a_used_connection_answers_its_epoch(database: Database) -> None:
    await _allow(database, "openid")

    epoch = await database.transact(connections.touch, account_id=ACCOUNT, client_id=CLIENT, now=LATER)

    found = await database.read(connections.find, account_id=ACCOUNT, client_id=CLIENT)
    assert found is not None
    assert (epoch, found.last_used_at) == (0, LATER)


async def test_a_pairs_epoch_is_raised_only_if_it_is_still_the_seen_one(database: Database) -> None:
    await _allow(database, "openid")

    raised = [
        await database.transact(
            connections.raise_epoch, account_id=ACCOUNT, client_id=CLIENT, seen_epoch=0, now=NOON
        )
        for _ in range(2)
    ]

    assert raised == [True, False]
