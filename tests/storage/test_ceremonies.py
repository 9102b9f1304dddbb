from dataclasses import replace
from typing import Any

import pytest

from idp.storage import ceremonies
from idp.storage.ceremonies import Ceremony
from idp.storage.database import Database
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER
from tests.support.frozen_clock import NOON

_CEREMONY = Ceremony(
    challenge=b"challenge",
    purpose="add",
    browser_sha256=b"browser",
    account_id=ACCOUNT,
    enrolment_sha256=b"enrolment",
    credential_ids=["AAAA", "BBBB"],
    created_at=NOON,
    expires_at=LATER,
)
_RIGHT: dict[str, Any] = {  # Any: arguments of many types.
    "presented_challenge": b"challenge",
    "purpose": "add",
    "browser_sha256": b"browser",
    "now": NOON,
}


@pytest.fixture(autouse=True)
async def _ceremony(database: Database) -> None:
    await database.transact(rows.insert_account)
    await database.transact(ceremonies.insert, _CEREMONY)


async def test_a_used_challenge_tells_what_it_was_for_and_is_gone(database: Database) -> None:
    first = await database.transact(ceremonies.use, **_RIGHT)
    second = await database.transact(ceremonies.use, **_RIGHT)

    assert first == replace(_CEREMONY, used_at=NOON)
    assert second is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"presented_challenge": b"other"},
        {"purpose": "sign_in"},
        {"browser_sha256": b"other"},
        {"now": LATER},
    ],
    ids=str,
)
async def test_a_challenge_is_refused_and_stays_unused(database: Database, wrong: dict[str, Any]) -> None:
    assert await database.transact(ceremonies.use, **(_RIGHT | wrong)) is None
    assert await database.transact(ceremonies.use, **_RIGHT) is not None


async def test_expired_challenges_are_pruned(database: Database) -> None:
    assert await database.transact(ceremonies.prune, before=LATER, limit=10) == 0
    assert await database.transact(ceremonies.prune, before=LATER.replace(hour=23), limit=10) == 1
