import asyncio
from datetime import datetime, timedelta

import pytest

from idp.clients import registration, secret
from idp.clients.client import Client
from idp.clients.metadata import ClientMetadata, change_metadata, parse_metadata
from idp.clients.registration import (
    ClientIdTakenError,
    Registered,
    UnknownClientError,
)
from idp.errors import InvalidClientMetadata
from idp.storage import audit_log
from idp.storage.database import Database
from tests.support.frozen_clock import FrozenClock

WEB = parse_metadata({"client_name": "Demo", "redirect_uris": ["https://app.example.com/callback"]})
PUBLIC = change_metadata(WEB, {"token_endpoint_auth_method": "none"})


async def _register(database: Database, clock: FrozenClock, *, client_id: str | None = None) -> Registered:
    return await database.transact(
        registration.register, metadata=WEB, is_first_party=False, client_id=client_id, now=clock()
    )


async def _shown(database: Database, client_id: str) -> Client:
    client = await database.read(registration.show, client_id=client_id)
    assert client is not None
    return client


async def _events(database: Database) -> list[str]:
    return [row.event for row in await database.read(audit_log.after, row_id=0, limit=100)]


async def _rotate(database: Database, client_id: str, *, overlap: timedelta, now: datetime) -> str:
    return await database.transact(registration.rotate_secret, client_id=client_id, overlap=overlap, now=now)


async def _update(
    database: Database, client: Client, *, metadata: ClientMetadata, now: datetime
) -> Registered:
    return await database.transact(
        registration.update,
        client_id=client.id,
        metadata=metadata,
        is_first_party=False,
        seen_version=client.version,
        now=now,
    )


async def test_a_registered_client_is_shown_as_it_was_registered(
    database: Database, clock: FrozenClock
) -> None:
    registered = await _register(database, clock)
    client = await _shown(database, registered.client.id)
    assert client == registered.client
    assert client.metadata == WEB
    assert client.version == 1
    assert client.created_at == clock()
    assert not client.is_disabled
    assert await _events(database) == ["client_registered"]


async def test_the_secret_is_shown_once_and_kept_as_a_digest(database: Database, clock: FrozenClock) -> None:
    registered = await _register(database, clock)
    assert registered.client_secret is not None
    assert len(registered.client_secret) == 43
    assert registered.client_secret not in repr(registered)
    assert "secret_sha256" not in repr(registered)
    assert secret.matches(registered.client, registered.client_secret, now=clock())
    [event] = await database.read(audit_log.after, row_id=0, limit=1)
    assert registered.client_secret not in repr(event)


async def test_a_public_client_gets_no_secret(database: Database, clock: FrozenClock) -> None:
    registered = await database.transact(
        registration.register, metadata=PUBLIC, is_first_party=False, now=clock()
    )
    assert registered.client_secret is None
    assert registered.client.secrets == ()


async def test_a_taken_identifier_is_refused_and_the_client_stays(
    database: Database, clock: FrozenClock
) -> None:
    first = await _register(database, clock, client_id="demo")
    with pytest.raises(ClientIdTakenError):
        await _register(database, clock, client_id="demo")
    assert await _shown(database, "demo") == first.client


async def test_a_new_identifier_is_never_taken_for_an_option(database: Database, clock: FrozenClock) -> None:
    for _ in range(200):
        registered = await _register(database, clock)
        assert registered.client.id[0].isalnum()


@pytest.mark.parametrize("client_id", ["", "a b", "a" * 65, "a:b", "ä", "a\n", "a%20", "-a", "..", "_a"])
async def test_an_odd_identifier_is_refused(database: Database, clock: FrozenClock, client_id: str) -> None:
    with pytest.raises(InvalidClientMetadata, match="client_id"):
        await _register(database, clock, client_id=client_id)
    assert await database.read(registration.list_clients) == []


async def test_an_update_needs_the_version_that_was_seen(database: Database, clock: FrozenClock) -> None:
    client = (await _register(database, clock)).client
    changes = [change_metadata(WEB, {"client_name": name}) for name in ("One", "Two")]
    outcomes = await asyncio.gather(
        *(_update(database, client, metadata=metadata, now=clock()) for metadata in changes),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ClientChangedError", "Registered"]
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, Registered)]
    assert (await _shown(database, client.id)) == winner.client
    assert winner.client.version == 2
    assert winner.client.token_epoch == client.token_epoch


async def test_an_update_is_audited_by_the_fields_that_changed(
    database: Database, clock: FrozenClock
) -> None:
    client = (await _register(database, clock)).client
    await database.transact(
        registration.update,
        client_id=client.id,
        metadata=change_metadata(WEB, {"client_name": "New", "logo_uri": "https://app.example.com/l.png"}),
        is_first_party=True,
        seen_version=1,
        now=clock(),
        actor="cli",
    )
    event = (await database.read(audit_log.after, row_id=0, limit=10))[-1]
    assert event.event == "client_updated"
    assert event.actor == "cli"
    assert event.details == {"changed": ["client_name", "logo_uri", "is_first_party"]}


async def test_a_client_that_becomes_public_loses_its_secret_and_gets_a_new_one_on_return(
    database: Database, clock: FrozenClock
) -> None:
    registered = await _register(database, clock)
    assert registered.client_secret is not None
    public = await _update(database, registered.client, metadata=PUBLIC, now=clock())
    assert public.client.secrets == ()
    assert public.client_secret is None
    returned = await _update(database, public.client, metadata=WEB, now=clock())
    assert returned.client_secret is not None
    assert secret.matches(returned.client, returned.client_secret, now=clock())
    assert not secret.matches(returned.client, registered.client_secret, now=clock())


async def test_disabling_ends_what_the_client_had_and_enabling_brings_nothing_back(
    database: Database, clock: FrozenClock
) -> None:
    client = (await _register(database, clock)).client
    disabled = await database.transact(registration.disable, client_id=client.id, now=clock())
    assert disabled.is_disabled
    assert disabled.token_epoch > client.token_epoch
    enabled = await database.transact(registration.enable, client_id=client.id, now=clock())
    assert not enabled.is_disabled
    assert enabled.token_epoch > disabled.token_epoch


async def test_enabling_a_client_that_is_on_ends_nothing(database: Database, clock: FrozenClock) -> None:
    client = (await _register(database, clock)).client
    assert await database.transact(registration.enable, client_id=client.id, now=clock()) == client
    disabled = await database.transact(registration.disable, client_id=client.id, now=clock())
    again = await database.transact(registration.disable, client_id=client.id, now=clock.advance(5))
    assert again == disabled
    assert await _events(database) == ["client_registered", "client_disabled"]


async def test_a_deleted_client_is_unknown_to_everything(database: Database, clock: FrozenClock) -> None:
    client = (await _register(database, clock)).client
    client_id = client.id
    await database.transact(registration.delete, client_id=client_id, now=clock())
    assert await database.read(registration.show, client_id=client_id) is None
    for use_case in (registration.delete, registration.disable, registration.enable):
        with pytest.raises(UnknownClientError):
            await database.transact(use_case, client_id=client_id, now=clock())
    with pytest.raises(UnknownClientError):
        await _rotate(database, client_id, overlap=timedelta(0), now=clock())
    with pytest.raises(UnknownClientError):
        await _update(database, client, metadata=WEB, now=clock())
    assert await _events(database) == ["client_registered", "client_deleted"]


async def test_an_identifier_used_again_begins_beyond_every_older_epoch(
    database: Database, clock: FrozenClock
) -> None:
    await _register(database, clock, client_id="demo")
    clock.advance(60)
    for use_case in (registration.disable, registration.enable):
        ended = await database.transact(use_case, client_id="demo", now=clock())
    await database.transact(registration.delete, client_id="demo", now=clock())
    reborn = await _register(database, clock, client_id="demo")
    assert reborn.client.token_epoch > ended.token_epoch


async def test_rotating_lets_the_secret_before_live_for_the_overlap_and_no_other(
    database: Database, clock: FrozenClock
) -> None:
    registered = await _register(database, clock)
    client_id, first = registered.client.id, registered.client_secret
    assert first is not None
    second = await _rotate(database, client_id, overlap=timedelta(hours=1), now=clock())
    client = await _shown(database, client_id)
    assert [secret.matches(client, text, now=clock()) for text in (first, second)] == [True, True]
    third = await _rotate(database, client_id, overlap=timedelta(hours=1), now=clock.advance(60))
    client = await _shown(database, client_id)
    live = [secret.matches(client, text, now=clock()) for text in (first, second, third)]
    assert live == [False, True, True]
    live = [secret.matches(client, text, now=clock.advance(3600)) for text in (second, third)]
    assert live == [False, True]


async def test_rotating_without_overlap_ends_every_older_secret(
    database: Database, clock: FrozenClock
) -> None:
    registered = await _register(database, clock)
    first, client_id = registered.client_secret, registered.client.id
    assert first is not None
    second = await _rotate(database, client_id, overlap=timedelta(hours=1), now=clock())
    third = await _rotate(database, client_id, overlap=timedelta(0), now=clock())
    client = await _shown(database, client_id)
    live = [secret.matches(client, text, now=clock()) for text in (first, second, third)]
    assert live == [False, False, True]


async def test_rotating_many_times_at_once_leaves_two_live_secrets(
    database: Database, clock: FrozenClock
) -> None:
    client_id = (await _register(database, clock)).client.id
    rotations = (_rotate(database, client_id, overlap=timedelta(hours=1), now=clock()) for _ in range(8))
    secrets = await asyncio.gather(*rotations)
    client = await _shown(database, client_id)
    assert len(client.secrets) == 2
    assert [held.expires_at for held in client.secrets].count(None) == 1
    assert [secret.matches(client, text, now=clock()) for text in secrets].count(True) == 2
    assert client.version == 9


async def test_a_public_client_has_no_secret_to_rotate(database: Database, clock: FrozenClock) -> None:
    public = await database.transact(
        registration.register, metadata=PUBLIC, is_first_party=False, now=clock()
    )
    with pytest.raises(InvalidClientMetadata, match="public"):
        await _rotate(database, public.client.id, overlap=timedelta(0), now=clock())
    assert await _shown(database, public.client.id) == public.client


async def test_clients_are_listed_page_by_page_with_their_secrets(
    database: Database, clock: FrozenClock
) -> None:
    registered = {
        f"c{number}": await _register(database, clock, client_id=f"c{number}") for number in range(5)
    }
    first = await database.read(registration.list_clients, limit=3)
    rest = await database.read(registration.list_clients, after=first[-1].id, limit=3)
    assert [client.id for client in [*first, *rest]] == sorted(registered)
    assert all(client == registered[client.id].client for client in [*first, *rest])
    assert await database.read(registration.list_clients, after="c4") == []
