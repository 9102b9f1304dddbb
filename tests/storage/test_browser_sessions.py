from datetime import timedelta
from typing import Any

import pytest

from idp.storage import accounts, browser_sessions, grants
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER, browser_session
from tests.support.frozen_clock import NOON

_LONG_AGO = NOON - timedelta(days=1)


@pytest.fixture(autouse=True)
async def _account(database: Database) -> None:
    await database.transact(rows.insert_account)


async def _live(tx: Transaction) -> BrowserSession | None:
    return await browser_sessions.find_live(tx, cookie_sha256=b"cookie", idle_since=_LONG_AGO, now=NOON)


async def test_a_live_session_is_read_as_written(database: Database) -> None:
    await database.transact(browser_sessions.insert, browser_session())

    assert await database.read(_live) == browser_session()
    assert await database.read(
        browser_sessions.live_of_account, account_id=ACCOUNT, idle_since=_LONG_AGO, now=NOON
    ) == [browser_session()]


@pytest.mark.parametrize(
    "change",
    [
        {"cookie_sha256": b"other"},
        {"ended_at": NOON},
        {"expires_at": NOON},
        {"last_seen_at": _LONG_AGO},
        {"account_epoch": 1},
    ],
    ids=str,
)
async def test_a_session_is_not_live(database: Database, change: dict[str, Any]) -> None:
    await database.transact(browser_sessions.insert, browser_session(**change))

    assert await database.read(_live) is None


async def test_a_disabled_account_has_no_live_session(database: Database) -> None:
    await database.transact(accounts.set_status, account_id=ACCOUNT, status="disabled", now=NOON)
    await database.transact(browser_sessions.insert, browser_session(account_epoch=1))

    assert await database.read(_live) is None


async def test_a_session_is_remembered_as_seen(database: Database) -> None:
    await database.transact(browser_sessions.insert, browser_session())

    await database.transact(browser_sessions.touch, session_id="session", now=LATER)

    session = await database.read(_live)
    assert session is not None
    assert session.last_seen_at == LATER


async def test_a_session_ends_once_and_for_its_own_account(database: Database) -> None:
    await database.transact(browser_sessions.insert, browser_session())

    ended = [
        await database.transact(browser_sessions.end, session_id="session", account_id=account_id, now=NOON)
        for account_id in ("other", ACCOUNT, ACCOUNT)
    ]

    assert ended == [False, True, False]
    assert await database.read(_live) is None


async def test_a_session_is_held_only_while_it_has_not_ended(database: Database) -> None:
    await database.transact(browser_sessions.insert, browser_session())

    before = await database.transact(grants.hold_session, session_id="session")
    await database.transact(browser_sessions.end, session_id="session", account_id=ACCOUNT, now=NOON)
    after = await database.transact(grants.hold_session, session_id="session")

    assert (before, after) == (True, False)


async def test_expired_sessions_are_pruned(database: Database) -> None:
    for number, expires_at in enumerate((NOON, NOON, LATER)):
        await database.transact(
            browser_sessions.insert,
            browser_session(id=str(number), cookie_sha256=str(number).encode(), expires_at=expires_at),
        )

    pruned = [await database.transact(browser_sessions.prune, before=LATER, limit=1) for _ in range(3)]

    assert pruned == [1, 1, 0]
