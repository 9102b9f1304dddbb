from dataclasses import replace
from datetime import datetime

import pytest

from idp.storage import enrolments
from idp.storage.database import Database
from idp.storage.enrolments import Enrolment
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER
from tests.support.frozen_clock import NOON

_ENROLMENT = Enrolment(b"token", "sign_up", ACCOUNT, b"browser", NOON, LATER, None)


@pytest.fixture(autouse=True)
async def _account(database: Database) -> None:
    await database.transact(rows.insert_account, status="pending")


async def _insert(
    database: Database, *, token_sha256: bytes = b"token", kind: str = "sign_up", expires_at: datetime = LATER
) -> None:
    await database.transact(
        enrolments.insert,
        token_sha256=token_sha256,
        kind=kind,
        account_id=ACCOUNT,
        browser_sha256=b"browser",
        expires_at=expires_at,
        now=NOON,
    )


async def test_an_enrolment_is_read_without_using_it_and_used_once(database: Database) -> None:
    await _insert(database)

    peeked = await database.read(enrolments.peek, token_sha256=b"token", now=NOON)
    used = await database.transact(enrolments.use, token_sha256=b"token", now=NOON)

    assert peeked == _ENROLMENT
    assert used == replace(_ENROLMENT, used_at=NOON)
    assert await database.transact(enrolments.use, token_sha256=b"token", now=NOON) is None
    assert await database.read(enrolments.peek, token_sha256=b"token", now=NOON) is None


async def test_an_expired_enrolment_is_not_used(database: Database) -> None:
    await _insert(database, expires_at=NOON)

    assert await database.read(enrolments.peek, token_sha256=b"token", now=NOON) is None
    assert await database.transact(enrolments.use, token_sha256=b"token", now=NOON) is None


async def test_unused_enrolments_end_by_kind_or_by_account(database: Database) -> None:
    for kind in ("sign_up", "invitation", "first_administrator", "recovery"):
        await _insert(database, token_sha256=kind.encode(), kind=kind)
    await database.transact(enrolments.use, token_sha256=b"invitation", now=NOON)

    of_kind = await database.transact(enrolments.end_all_of_kind, kind="first_administrator", now=NOON)
    of_account = await database.transact(enrolments.end_of_account, account_id=ACCOUNT, now=NOON)

    assert (of_kind, of_account) == (1, 2)
    assert await database.transact(enrolments.use, token_sha256=b"recovery", now=NOON) is None


async def test_expired_enrolments_are_pruned(database: Database) -> None:
    await _insert(database, token_sha256=b"old", expires_at=NOON)
    await _insert(database)

    assert await database.transact(enrolments.prune, before=LATER, limit=10) == 1


async def test_an_account_waits_for_its_first_passkey(database: Database) -> None:
    await database.transact(rows.insert_account, account_id="real")

    waits = [
        await database.read(enrolments.account_is_pending, account_id=account_id)
        for account_id in (ACCOUNT, "real", "unknown")
    ]

    assert waits == [True, False, False]


async def test_the_first_administrators_lock_is_had(database: Database) -> None:
    await database.transact(enrolments.lock_first_administrator)
