from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from idp.storage import accounts, clients, connections, grants
from idp.storage.database import Database
from idp.storage.grants import Grant, Standing
from tests.storage import rows
from tests.storage.rows import ACCOUNT, CLIENT, LATER
from tests.support.frozen_clock import NOON

_SOON = NOON + timedelta(seconds=10)

_RIGHT_CODE: dict[str, Any] = {  # Any: arguments of many types.
    "grant_id": b"grant",
    "presented_sha256": b"secret",
    "presenting_client": CLIENT,
    "presented_challenge": "challenge",
    "presented_redirect_uri": "https://app.example/callback",
    "presented_thumbprint": None,
    "binding_thumbprint": None,
    "next_idle_expiry": LATER,
    "now": _SOON,
}
_RIGHT_TOKEN: dict[str, Any] = {
    "grant_id": b"grant",
    "presented_sha256": b"secret",
    "presented_generation": 5,
    "presenting_client": CLIENT,
    "presented_thumbprint": None,
    "next_idle_expiry": LATER,
    "now": _SOON,
}
_WRONG_ALIKE: list[dict[str, Any]] = [
    {"grant_id": b"other"},
    {"presented_sha256": b"other"},
    {"presenting_client": "other"},
    {"now": NOON + timedelta(days=40)},
]
_DEAD: list[dict[str, Any]] = [
    {"status": "revoked"},
    {"expires_at": _SOON},
    {"idle_expires_at": _SOON},
    {"account_epoch": 1},
    {"client_epoch": 1},
    {"connection_epoch": 1},
    {"proof_key_thumbprint": "bound"},
]
_ENDED = [
    (accounts.set_status, {"account_id": ACCOUNT, "status": "disabled", "now": NOON}),
    (accounts.raise_epoch, {"account_id": ACCOUNT, "seen_epoch": 0, "now": NOON}),
    (clients.set_disabled, {"client_id": CLIENT, "disabled_at": NOON, "now": NOON}),
    (clients.delete, {"client_id": CLIENT, "now": NOON}),
    (connections.withdraw, {"account_id": ACCOUNT, "client_id": CLIENT, "now": NOON}),
    (connections.raise_epoch, {"account_id": ACCOUNT, "client_id": CLIENT, "seen_epoch": 0, "now": NOON}),
]


async def _stored(database: Database) -> Grant:
    stored = await database.transact(grants.lock, grant_id=b"grant")
    assert stored is not None
    return stored


async def test_a_grant_is_read_as_written(database: Database) -> None:
    inserted = await database.transact(rows.insert_grant)

    assert await _stored(database) == inserted
    assert await database.transact(grants.lock, grant_id=b"unknown") is None


async def test_a_code_becomes_generation_one(database: Database) -> None:
    code = await database.transact(rows.insert_grant)

    redeemed = await database.transact(grants.redeem, **_RIGHT_CODE)

    assert redeemed == replace(code, generation=1, rotated_at=_SOON, idle_expires_at=LATER)
    assert await _stored(database) == redeemed


async def test_a_redirect_uri_may_be_left_out_at_redemption(database: Database) -> None:
    await database.transact(rows.insert_grant)

    assert (
        await database.transact(grants.redeem, **_RIGHT_CODE | {"presented_redirect_uri": None}) is not None
    )


async def test_a_proof_key_at_redemption_binds_the_family(database: Database) -> None:
    await database.transact(rows.insert_grant)

    redeemed = await database.transact(grants.redeem, **_RIGHT_CODE | {"binding_thumbprint": "key"})

    assert redeemed is not None
    assert redeemed.proof_key_thumbprint == "key"


async def test_a_bound_code_is_redeemed_with_its_key(database: Database) -> None:
    await database.transact(rows.insert_grant, proof_key_thumbprint="bound")

    redeemed = await database.transact(
        grants.redeem, **_RIGHT_CODE | {"presented_thumbprint": "bound", "binding_thumbprint": "bound"}
    )

    assert redeemed is not None


@pytest.mark.parametrize(
    "wrong",
    [
        *_WRONG_ALIKE,
        {"presented_challenge": "other"},
        {"presented_redirect_uri": "https://app.example/other"},
        {"now": NOON + timedelta(minutes=1)},
    ],
    ids=str,
)
async def test_a_code_presented_wrongly_changes_nothing(database: Database, wrong: dict[str, Any]) -> None:
    code = await database.transact(rows.insert_grant)

    assert await database.transact(grants.redeem, **_RIGHT_CODE | wrong) is None
    assert await _stored(database) == code


@pytest.mark.parametrize("state", [*_DEAD, {"generation": 1}], ids=str)
async def test_a_dead_or_redeemed_code_changes_nothing(database: Database, state: dict[str, Any]) -> None:
    code = await database.transact(rows.insert_grant, **state)

    assert await database.transact(grants.redeem, **_RIGHT_CODE) is None
    assert await _stored(database) == code


async def test_a_generation_advances_and_remembers_when(database: Database) -> None:
    before = await database.transact(rows.insert_grant, generation=5, rotated_at=NOON)

    rotated = await database.transact(grants.rotate, **_RIGHT_TOKEN)

    assert rotated == replace(
        before, generation=6, rotated_at=_SOON, previously_rotated_at=NOON, idle_expires_at=LATER
    )
    assert await _stored(database) == rotated


async def test_retries_in_a_row_are_counted(database: Database) -> None:
    await database.transact(rows.insert_grant, generation=5)

    await database.transact(grants.count_retry, grant_id=b"grant")
    first = await database.transact(grants.rotate, **_RIGHT_TOKEN)
    await database.transact(grants.count_retry, grant_id=b"grant")
    second = await database.transact(grants.rotate, **_RIGHT_TOKEN | {"presented_generation": 6})
    third = await database.transact(grants.rotate, **_RIGHT_TOKEN | {"presented_generation": 7})

    assert [(g.retries, g.retry_streak) for g in (first, second, third) if g] == [(0, 1), (0, 2), (0, 0)]


@pytest.mark.parametrize(
    "wrong", [*_WRONG_ALIKE, {"presented_generation": 4}, {"presented_generation": 6}], ids=str
)
async def test_a_token_presented_wrongly_changes_nothing(database: Database, wrong: dict[str, Any]) -> None:
    before = await database.transact(rows.insert_grant, generation=5)

    assert await database.transact(grants.rotate, **_RIGHT_TOKEN | wrong) is None
    assert await _stored(database) == before


@pytest.mark.parametrize("state", _DEAD, ids=str)
async def test_a_dead_family_does_not_advance(database: Database, state: dict[str, Any]) -> None:
    before = await database.transact(rows.insert_grant, **{"generation": 5} | state)

    assert await database.transact(grants.rotate, **_RIGHT_TOKEN) is None
    assert await database.transact(grants.find_alive, grant_id=b"grant", now=_SOON) is None or (
        "idle_expires_at" in state or "proof_key_thumbprint" in state
    )
    assert await _stored(database) == before


async def test_a_code_does_not_rotate(database: Database) -> None:
    await database.transact(rows.insert_grant)

    assert await database.transact(grants.rotate, **_RIGHT_TOKEN | {"presented_generation": 0}) is None


@pytest.mark.parametrize(("act", "arguments"), _ENDED, ids=lambda case: getattr(case, "__qualname__", ""))
async def test_what_a_grant_stands_on_ends_it(
    database: Database,
    act: Any,
    arguments: dict[str, Any],  # Any: one of several queries.
) -> None:
    await database.transact(rows.insert_grant, generation=5)

    await database.transact(act, **arguments)

    assert await database.transact(grants.rotate, **_RIGHT_TOKEN) is None
    assert await database.read(grants.find_alive, grant_id=b"grant", now=_SOON) is None
    assert await database.read(grants.standing, account_id=ACCOUNT, client_id=CLIENT) != Standing(0, 0, 0)


async def test_what_a_grant_stands_on_is_told(database: Database) -> None:
    grant = await database.transact(rows.insert_grant)

    assert await database.read(grants.standing, account_id=ACCOUNT, client_id=CLIENT) == Standing(0, 0, 0)
    assert await database.read(grants.standing, account_id="?", client_id="?") == Standing(None, None, None)
    assert await database.read(grants.find_alive, grant_id=b"grant", now=_SOON) == grant


async def test_a_database_that_was_behind_is_set_forward(database: Database) -> None:
    before = await database.transact(rows.insert_grant, generation=5, rotated_at=NOON, retries=2)

    advanced = await database.transact(
        grants.advance_to,
        grant_id=b"grant",
        generation=9,
        binding_thumbprint=None,
        next_idle_expiry=LATER,
        now=_SOON,
    )

    assert advanced == replace(
        before,
        generation=9,
        rotated_at=_SOON,
        previously_rotated_at=NOON,
        idle_expires_at=LATER,
        retries=0,
        retry_streak=1,
    )


async def test_a_grant_is_revoked_once(database: Database) -> None:
    before = await database.transact(rows.insert_grant)

    revoked = [
        await database.transact(grants.revoke, grant_id=b"grant", reason=reason, now=LATER)
        for reason in ("reuse", "other")
    ]

    assert revoked == [True, False]
    assert await _stored(database) == replace(
        before, status="revoked", revoked_at=LATER, revoked_reason="reuse"
    )


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ({"outlives_session": False}, 1),
        ({"outlives_session": True}, 0),
        ({"outlives_session": False, "session_id": "other"}, 0),
        ({"outlives_session": False, "status": "revoked"}, 0),
    ],
    ids=str,
)
async def test_a_session_takes_the_grants_along_that_live_no_longer(
    database: Database, state: dict[str, Any], ended: int
) -> None:
    await database.transact(rows.insert_grant, **state)

    assert await database.transact(grants.revoke_of_session, session_id="session", now=LATER) == ended


async def test_a_sessions_clients_are_each_named_once(database: Database) -> None:
    for number, client_id in enumerate(("b", "a", "b")):
        await database.transact(grants.insert, rows.grant(id=str(number).encode(), client_id=client_id))

    assert await database.read(grants.clients_of_session, session_id="session") == ["a", "b"]
    assert await database.read(grants.clients_of_session, session_id="other") == []


async def test_expired_grants_are_pruned(database: Database) -> None:
    await database.transact(grants.insert, rows.grant(id=b"old", expires_at=NOON))
    await database.transact(grants.insert, rows.grant(id=b"new"))

    assert await database.transact(grants.prune, before=LATER, limit=10) == 1
