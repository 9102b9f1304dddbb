from datetime import timedelta

import pytest

from idp.storage import clients, connections
from idp.storage.clients import ClientRow, ClientSecret
from idp.storage.database import Database
from tests.storage import rows
from tests.storage.rows import ACCOUNT, CLIENT, LATER
from tests.support.frozen_clock import NOON


@pytest.fixture(autouse=True)
async def _client(database: Database) -> None:
    await database.transact(rows.insert_client)


async def _found(database: Database) -> ClientRow:
    found = await database.read(clients.find, client_id=CLIENT)
    assert found is not None
    return found


async def test_a_client_is_read_as_written(database: Database) -> None:
    assert await _found(database) == ClientRow(CLIENT, {"client_name": "App"}, False, 0, 1, None, NOON, NOON)
    assert await database.read(clients.find, client_id="unknown") is None


async def test_metadata_is_replaced_only_by_who_saw_the_present(database: Database) -> None:
    changed = [
        await database.transact(
            clients.update,
            client_id=CLIENT,
            metadata={"client_name": name},
            is_first_party=True,
            seen_version=1,
            now=LATER,
        )
        for name in ("First", "Second")
    ]

    found = await _found(database)
    assert changed == [True, False]
    assert (found.metadata, found.version, found.is_first_party, found.updated_at) == (
        {"client_name": "First"},
        2,
        True,
        LATER,
    )


async def test_switching_a_client_off_or_on_ends_what_it_was_given(database: Database) -> None:
    off = await database.transact(clients.set_disabled, client_id=CLIENT, disabled_at=NOON, now=NOON)
    disabled = await _found(database)
    on = await database.transact(clients.set_disabled, client_id=CLIENT, disabled_at=None, now=NOON)
    enabled = await _found(database)

    assert (off, on) == (True, True)
    assert (disabled.disabled_at, disabled.token_epoch, disabled.version) == (NOON, 1, 2)
    assert (enabled.disabled_at, enabled.token_epoch, enabled.version) == (None, 2, 3)


async def test_a_forgotten_client_takes_its_secrets_and_connections_along(database: Database) -> None:
    await database.transact(rows.insert_account)
    await database.transact(connections.allow, account_id=ACCOUNT, client_id=CLIENT, scopes=[], now=NOON)
    await database.transact(
        clients.insert_secret, secret_sha256=b"s", client_id=CLIENT, expires_at=None, now=NOON
    )

    gone = [await database.transact(clients.delete, client_id=CLIENT, now=NOON) for _ in range(2)]

    assert gone == [True, False]
    assert await database.read(clients.secrets_of, client_id=CLIENT) == []
    assert await database.read(connections.of_account, account_id=ACCOUNT) == []


async def test_clients_are_listed_page_by_page(database: Database) -> None:
    for client_id in ("b", "a"):
        await database.transact(rows.insert_client, client_id=client_id)

    first = await database.read(clients.listed, after="", limit=2)
    second = await database.read(clients.listed, after="b", limit=2)

    assert [client.id for client in first + second] == ["a", "b", CLIENT]


async def test_older_secrets_end_when_told_and_never_later(database: Database) -> None:
    soon, late = NOON + timedelta(hours=1), NOON + timedelta(days=9)
    for secret, expires_at, now in ((b"forever", None, NOON), (b"late", late, LATER), (b"past", NOON, NOON)):
        await database.transact(
            clients.insert_secret, secret_sha256=secret, client_id=CLIENT, expires_at=expires_at, now=now
        )

    changed = await database.transact(clients.expire_secrets, client_id=CLIENT, expires_at=soon)
    listed = await database.read(clients.secrets_of, client_id=CLIENT)
    deleted = await database.transact(clients.delete_expired_secrets, client_id=CLIENT, now=NOON)

    assert (changed, deleted) == (2, 1)
    assert listed == [
        ClientSecret(b"late", CLIENT, LATER, soon),
        ClientSecret(b"forever", CLIENT, NOON, soon),
        ClientSecret(b"past", CLIENT, NOON, NOON),
    ]
