from datetime import datetime, timedelta

import pytest

from idp.storage import email_addresses
from idp.storage.database import Database
from idp.storage.email_addresses import EmailAddress
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER
from tests.support.frozen_clock import NOON

_ADA = "ada@example.com"


@pytest.fixture(autouse=True)
async def _claims(database: Database) -> None:
    for account_id in (ACCOUNT, "other"):
        await database.transact(rows.insert_account, account_id=account_id)
        await database.transact(rows.insert_address, address_id=f"{account_id}'s", account_id=account_id)


async def _mail(database: Database, token_sha256: bytes, *, expires_at: datetime = LATER) -> None:
    await database.transact(
        email_addresses.insert_verification,
        token_sha256=token_sha256,
        email_address_id=f"{ACCOUNT}'s",
        expires_at=expires_at,
        now=NOON,
    )


async def _use(database: Database, token_sha256: bytes, *, account_id: str = ACCOUNT) -> str | None:
    return await database.transact(
        email_addresses.use_verification, token_sha256=token_sha256, account_id=account_id, now=NOON
    )


async def test_an_address_is_read_as_written(database: Database) -> None:
    assert await database.read(email_addresses.of_account, account_id=ACCOUNT) == [
        EmailAddress(f"{ACCOUNT}'s", ACCOUNT, "Ada@Example.Com", _ADA, True, None, NOON)
    ]


async def test_a_claimed_address_has_no_holder(database: Database) -> None:
    assert await database.read(email_addresses.holder, normalized=_ADA) is None
    assert set(await database.read(email_addresses.claimants, normalized=_ADA, limit=9)) == {ACCOUNT, "other"}


async def test_a_verified_address_is_held_by_one_account_alone(database: Database) -> None:
    first = await database.transact(email_addresses.verify, address_id=f"{ACCOUNT}'s", now=NOON)
    second = await database.transact(email_addresses.verify, address_id="other's", now=NOON)
    again = await database.transact(email_addresses.verify, address_id=f"{ACCOUNT}'s", now=LATER)

    assert (first, second, again) == (True, False, True)
    assert await database.read(email_addresses.holder, normalized=_ADA) == ACCOUNT
    assert await database.read(email_addresses.claimants, normalized=_ADA, limit=9) == ["other"]


async def test_a_link_is_read_without_using_it(database: Database) -> None:
    await _mail(database, b"token")

    for _ in range(2):
        peeked = await database.read(email_addresses.peek_verification, token_sha256=b"token", now=NOON)
        assert peeked is not None
        assert peeked.id == f"{ACCOUNT}'s"


async def test_a_link_is_used_once(database: Database) -> None:
    await _mail(database, b"token")

    assert [await _use(database, b"token"), await _use(database, b"token")] == [f"{ACCOUNT}'s", None]
    assert await database.read(email_addresses.peek_verification, token_sha256=b"token", now=NOON) is None


async def test_another_account_cannot_use_a_link(database: Database) -> None:
    await _mail(database, b"token")

    assert await _use(database, b"token", account_id="other") is None
    assert await _use(database, b"token") is not None


async def test_an_expired_link_is_not_used(database: Database) -> None:
    await _mail(database, b"token", expires_at=NOON)

    assert await _use(database, b"token") is None
    assert await database.read(email_addresses.peek_verification, token_sha256=b"token", now=NOON) is None


async def test_a_newer_link_ends_the_older(database: Database) -> None:
    await _mail(database, b"older")
    await _mail(database, b"newer")

    assert [await _use(database, b"older"), await _use(database, b"newer")] == [None, f"{ACCOUNT}'s"]


async def test_expired_links_are_pruned(database: Database) -> None:
    await _mail(database, b"old", expires_at=NOON)
    await _mail(database, b"new", expires_at=LATER)

    pruned = [
        await database.transact(
            email_addresses.prune_verifications, before=NOON + timedelta(seconds=1), limit=10
        )
        for _ in range(2)
    ]

    assert pruned == [1, 0]
