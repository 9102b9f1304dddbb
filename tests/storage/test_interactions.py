from typing import Any

import pytest

from idp.storage import interactions
from idp.storage.database import Database
from idp.storage.interactions import Interaction
from tests.storage.rows import ACCOUNT, CLIENT, LATER
from tests.support.frozen_clock import NOON

_REQUEST = Interaction(
    id="request",
    browser_sha256=b"browser",
    client_id=CLIENT,
    parameters={"scope": "openid", "state": "ü"},
    created_at=NOON,
    expires_at=LATER,
)
_OWN: dict[str, Any] = {"interaction_id": "request", "browser_sha256": b"browser"}  # Any: as arguments are.
_FOREIGN: list[dict[str, Any]] = [
    {"interaction_id": "other"},
    {"browser_sha256": b"other"},
    {"now": LATER},
]


@pytest.fixture(autouse=True)
async def _request(database: Database) -> None:
    await database.transact(interactions.insert, _REQUEST)


async def _find(database: Database) -> Interaction:
    found = await database.read(interactions.find, **_OWN)
    assert found is not None
    return found


async def test_a_request_is_read_as_written_by_its_browser_alone(database: Database) -> None:
    assert await _find(database) == _REQUEST
    assert await database.read(interactions.find, **(_OWN | {"browser_sha256": b"other"})) is None


async def test_consent_and_denial_are_remembered(database: Database) -> None:
    consented = await database.transact(interactions.record_consent, **_OWN, account_id=ACCOUNT, now=NOON)
    denied = await database.transact(interactions.record_denial, **_OWN, now=NOON)

    found = await _find(database)
    assert (consented, denied) == (True, True)
    assert (found.consented_at, found.consented_by, found.denied_at) == (NOON, ACCOUNT, NOON)


async def test_a_request_is_answered_once_and_then_over(database: Database) -> None:
    answers = [
        await database.transact(interactions.use, **_OWN, now=NOON),
        await database.transact(interactions.use, **_OWN, now=NOON),
        await database.transact(interactions.record_consent, **_OWN, account_id=ACCOUNT, now=NOON),
        await database.transact(interactions.record_denial, **_OWN, now=NOON),
    ]

    assert answers == [True, False, False, False]
    assert (await _find(database)).used_at == NOON


@pytest.mark.parametrize("wrong", _FOREIGN, ids=str)
async def test_a_foreign_or_expired_request_is_left_alone(database: Database, wrong: dict[str, Any]) -> None:
    arguments = _OWN | {"now": NOON} | wrong

    answers = [
        await database.transact(interactions.use, **arguments),
        await database.transact(interactions.record_consent, **arguments, account_id=ACCOUNT),
        await database.transact(interactions.record_denial, **arguments),
    ]

    assert answers == [False, False, False]
    assert await _find(database) == _REQUEST


async def test_a_browsers_requests_follow_its_new_cookie(database: Database) -> None:
    await database.transact(
        interactions.rebind, old_browser_sha256=b"browser", new_browser_sha256=b"signed in"
    )

    assert await database.read(interactions.find, **_OWN) is None
    assert await database.transact(
        interactions.use, interaction_id="request", browser_sha256=b"signed in", now=NOON
    )


async def test_expired_requests_are_pruned(database: Database) -> None:
    assert await database.transact(interactions.prune, before=LATER, limit=10) == 0
    assert await database.transact(interactions.prune, before=LATER.replace(hour=23), limit=10) == 1
