from datetime import timedelta

import pytest

from idp.storage import accounts
from idp.storage.database import Database
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER
from tests.support.frozen_clock import NOON


async def _epoch(database: Database) -> int:
    account = await database.read(accounts.find, account_id=ACCOUNT)
    assert account is not None
    return account.token_epoch


async def test_an_account_begins_pending_and_is_read_as_written(database: Database) -> None:
    await database.transact(
        accounts.insert_pending,
        account_id=ACCOUNT,
        user_handle=b"\x00handle",
        name="Ada",
        role="owner",
        now=NOON,
    )

    expected = accounts.Account(
        id=ACCOUNT,
        user_handle=b"\x00handle",
        name="Ada",
        status="pending",
        role="owner",
        token_epoch=0,
        notice=None,
        profile=None,
        created_at=NOON,
        updated_at=NOON,
    )
    assert await database.read(accounts.find, account_id=ACCOUNT) == expected
    assert await database.transact(accounts.lock, account_id=ACCOUNT) == expected


async def test_an_unknown_account_is_none(database: Database) -> None:
    assert await database.read(accounts.find, account_id="unknown") is None
    assert await database.transact(accounts.lock, account_id="unknown") is None


@pytest.mark.parametrize(
    ("status", "activated"), [("pending", True), ("active", True), ("disabled", False), ("deleted", False)]
)
async def test_only_a_pending_account_becomes_real(database: Database, status: str, activated: bool) -> None:  # noqa: FBT001 - a case's expectation
    await database.transact(rows.insert_account, status=status)

    assert await database.transact(accounts.activate, account_id=ACCOUNT, now=LATER) is activated


async def test_a_name_and_a_role_change(database: Database) -> None:
    await database.transact(rows.insert_account)

    await database.transact(accounts.rename, account_id=ACCOUNT, name="Grace", now=LATER)
    was_there = await database.transact(accounts.set_role, account_id=ACCOUNT, role="auditor", now=LATER)

    account = await database.read(accounts.find, account_id=ACCOUNT)
    assert account is not None
    assert (account.name, account.role, account.updated_at, was_there) == ("Grace", "auditor", LATER, True)
    assert not await database.transact(accounts.set_role, account_id="unknown", role=None, now=LATER)


async def test_an_epoch_is_raised_only_if_it_is_still_the_seen_one(database: Database) -> None:
    await database.transact(rows.insert_account)

    first = await database.transact(accounts.raise_epoch, account_id=ACCOUNT, seen_epoch=0, now=NOON)
    second = await database.transact(accounts.raise_epoch, account_id=ACCOUNT, seen_epoch=0, now=NOON)

    assert (first, second, await _epoch(database)) == (True, False, 1)


async def test_every_change_of_status_ends_what_was_open(database: Database) -> None:
    await database.transact(rows.insert_account)

    for status in ("disabled", "active", "deleted"):
        assert await database.transact(accounts.set_status, account_id=ACCOUNT, status=status, now=NOON)

    assert await _epoch(database) == 3


async def test_a_deleted_account_never_comes_back(database: Database) -> None:
    await database.transact(rows.insert_account, status="deleted")

    assert not await database.transact(accounts.set_status, account_id=ACCOUNT, status="active", now=NOON)


async def test_a_notice_waits_until_it_is_read(database: Database) -> None:
    await database.transact(rows.insert_account)

    await database.transact(accounts.leave_notice, account_id=ACCOUNT, notice={"kind": "reuse"})
    left = await database.read(accounts.find, account_id=ACCOUNT)
    await database.transact(accounts.clear_notice, account_id=ACCOUNT)
    cleared = await database.read(accounts.find, account_id=ACCOUNT)

    assert left is not None
    assert cleared is not None
    assert (left.notice, cleared.notice) == ({"kind": "reuse"}, None)


@pytest.mark.parametrize(
    ("role", "status", "found"),
    [
        ("owner", "active", True),
        ("administrator", "active", True),
        ("owner", "pending", False),
        ("owner", "disabled", False),
        ("auditor", "active", False),
        (None, "active", False),
    ],
)
async def test_only_someone_real_is_an_administrator(
    database: Database,
    role: str | None,
    status: str,
    found: bool,  # noqa: FBT001 - a case's expectation
) -> None:
    await database.transact(rows.insert_account, status=status)
    await database.transact(accounts.set_role, account_id=ACCOUNT, role=role, now=NOON)

    assert await database.read(accounts.has_administrator) is found


async def test_accounts_are_listed_page_by_page(database: Database) -> None:
    for account_id in ("b", "a", "c"):
        await database.transact(rows.insert_account, account_id=account_id)

    first = await database.read(accounts.search, after="", limit=2)
    second = await database.read(accounts.search, after="b", limit=2)

    assert [account.id for account in first + second] == ["a", "b", "c"]


async def test_only_old_beginnings_are_pruned(database: Database) -> None:
    await database.transact(rows.insert_account, account_id="old", status="pending")
    await database.transact(
        rows.insert_account, account_id="older", status="pending", now=NOON - timedelta(1)
    )
    await database.transact(rows.insert_account, account_id="new", status="pending", now=LATER)
    await database.transact(rows.insert_account, account_id="real")

    first = await database.transact(accounts.prune_pending, before=LATER, limit=1)
    second = await database.transact(accounts.prune_pending, before=LATER, limit=10)

    left = await database.read(accounts.search, after="", limit=10)
    assert (first, second) == (1, 1)
    assert [account.id for account in left] == ["new", "real"]


async def test_a_profile_is_kept_as_written_and_erased_with_the_account(database: Database) -> None:
    await database.transact(rows.insert_account)
    profile: dict[str, object] = {"birthdate": "1815-12-10", "address": {"country": "GB"}, "locale": "ü"}
    await database.transact(accounts.set_profile, account_id=ACCOUNT, profile=profile, now=LATER)
    account = await database.read(accounts.find, account_id=ACCOUNT)
    assert account is not None
    assert (account.profile, account.updated_at) == (profile, LATER)

    await database.transact(accounts.erase, account_id=ACCOUNT, now=LATER)
    erased = await database.read(accounts.find, account_id=ACCOUNT)
    assert erased is not None
    assert erased.profile is None
