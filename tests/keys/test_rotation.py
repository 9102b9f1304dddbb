import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from idp.keys.keyring import Keyring, KeyringError
from idp.keys.rotation import ensure_keys, forget_gone, keep_keys, retire_now, rotate_now
from idp.keys.timetable import state_of
from idp.storage import deployment
from idp.storage import signing_keys as stored_keys
from idp.storage.database import Database, Transaction
from tests.keys.signing_keys import MASTER_KEY, OTHER_MASTER_KEY, TIMETABLE, fresh_key, open_keyring
from tests.support.frozen_clock import FrozenClock

HOUR = timedelta(hours=1)


async def _states(database: Database, *, now: datetime) -> dict[str, str]:
    return {row.kid: state_of(row, now=now) for row in await database.read(stored_keys.listed)}


async def _keep(database: Database, keyring: Keyring, *, now: datetime) -> str | None:
    made = await keep_keys(database, keyring=keyring, timetable=TIMETABLE, rsa_bits=2048, now=now)
    return made.kid if made else None


async def test_the_first_key_signs_at_once(database: Database, clock: FrozenClock) -> None:
    keyring = Keyring(database, master_key=MASTER_KEY)
    kid = await _keep(database, keyring, now=clock())
    assert keyring.signing_key(now=clock()).kid == kid
    assert await _states(database, now=clock()) == {kid: "active"}


async def test_a_second_look_makes_no_second_key(database: Database, clock: FrozenClock) -> None:
    keyring = Keyring(database, master_key=MASTER_KEY)
    await _keep(database, keyring, now=clock())
    assert await _keep(database, keyring, now=clock()) is None
    assert len(keyring.rows) == 1


async def test_eight_nodes_on_an_empty_database_agree_on_one_active_key(
    database: Database, clock: FrozenClock
) -> None:
    # Attack S6. Each node has made a key of its own before it reaches the database.
    made = await asyncio.gather(
        *(
            database.transact(ensure_keys, fresh=fresh_key(node), timetable=TIMETABLE, now=clock())
            for node in range(1, 9)
        )
    )
    winners = [row for row in made if row]
    assert len(winners) == 1
    assert await _states(database, now=clock()) == {winners[0].kid: "active"}


async def test_eight_nodes_agree_on_one_next_key(database: Database, clock: FrozenClock) -> None:
    await open_keyring(database, now=clock())
    clock.advance(HOUR)
    await asyncio.gather(
        *(
            database.transact(ensure_keys, fresh=fresh_key(node), timetable=TIMETABLE, now=clock())
            for node in range(2, 10)
        )
    )
    assert sorted((await _states(database, now=clock())).values()) == ["active", "next"]


async def test_the_next_key_is_planned_when_due_and_takes_over_on_time(
    database: Database, clock: FrozenClock
) -> None:
    keyring = await open_keyring(database, now=clock())
    clock.advance(HOUR - TIMETABLE.publish_lead - timedelta(seconds=1))
    assert await _keep(database, keyring, now=clock()) is None
    clock.advance(1)
    second = await _keep(database, keyring, now=clock())
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "active", second: "next"}
    clock.advance(TIMETABLE.publish_lead)
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "retiring", second: "active"}
    clock.advance(TIMETABLE.stay)
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "gone", second: "active"}


async def test_another_master_key_makes_no_key_even_when_one_is_due(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    keyring = Keyring(database, master_key=OTHER_MASTER_KEY)
    with pytest.raises(KeyringError):
        await _keep(database, keyring, now=clock.advance(HOUR))
    assert len(await database.read(stored_keys.listed)) == 1


def _statements_of_the_guide() -> list[str]:
    # docs/keys.md, "If it is lost": exactly what an operator is told to run.
    lines = Path("docs/keys.md").read_text(encoding="utf-8").splitlines()
    return [line.strip().removesuffix(";") for line in lines if line.strip().startswith("DELETE FROM")]


async def _run(tx: Transaction, statements: list[str]) -> None:
    for statement in statements:
        await tx.execute(sa.text(statement))


async def test_after_a_lost_master_key_the_guide_leads_to_a_new_signing_key(
    database: Database, clock: FrozenClock
) -> None:
    # Attack FG3.
    await open_keyring(database, now=clock())
    await database.transact(deployment.agree, name="master_key", value=MASTER_KEY.fingerprint)
    statements = _statements_of_the_guide()
    assert len(statements) == 3
    await database.transact(_run, statements)
    keyring = Keyring(database, master_key=OTHER_MASTER_KEY)
    kid = await _keep(database, keyring, now=clock())
    assert keyring.signing_key(now=clock()).kid == kid
    fingerprint = OTHER_MASTER_KEY.fingerprint
    assert await database.transact(deployment.agree, name="master_key", value=fingerprint) == fingerprint


async def test_rotating_now_honours_the_publish_lead(database: Database, clock: FrozenClock) -> None:
    await open_keyring(database, now=clock())
    planned = await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    assert planned.activates_at == clock() + TIMETABLE.publish_lead
    first, _ = await database.read(stored_keys.listed)
    assert first.retires_at == planned.activates_at
    assert first.gone_at == planned.activates_at + TIMETABLE.stay


async def test_rotating_twice_plans_one_key(database: Database, clock: FrozenClock) -> None:
    await open_keyring(database, now=clock())
    for node in (2, 3):
        planned = await database.transact(rotate_now, fresh=fresh_key(node), timetable=TIMETABLE, now=clock())
        assert planned.kid == fresh_key(2).kid
    assert len(await database.read(stored_keys.listed)) == 2


async def test_rotating_an_empty_deployment_makes_the_first_key(
    database: Database, clock: FrozenClock
) -> None:
    planned = await database.transact(rotate_now, fresh=fresh_key(1), timetable=TIMETABLE, now=clock())
    assert planned.activates_at == clock()


async def test_retiring_the_only_key_makes_another_that_signs_at_once(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    signing = await database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(2), now=clock())
    assert signing is not None
    assert signing.kid == fresh_key(2).kid
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "gone", fresh_key(2).kid: "active"}


async def test_retiring_the_active_key_lets_the_next_take_over_at_once(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    signing = await database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(3), now=clock())
    assert signing is not None
    assert signing.kid == fresh_key(2).kid
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "gone", fresh_key(2).kid: "active"}


async def test_retiring_the_next_key_lets_the_active_one_go_on(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    signing = await database.transact(retire_now, fresh_key(2).kid, fresh=fresh_key(3), now=clock())
    assert signing is not None
    assert signing.kid == fresh_key(1).kid
    clock.advance(TIMETABLE.publish_lead)
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "active", fresh_key(2).kid: "gone"}


async def test_retiring_a_retiring_key_leaves_the_active_one_alone(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    clock.advance(TIMETABLE.publish_lead)
    signing = await database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(3), now=clock())
    assert signing is not None
    assert signing.kid == fresh_key(2).kid
    assert await _states(database, now=clock()) == {fresh_key(1).kid: "gone", fresh_key(2).kid: "active"}


async def test_retiring_an_unknown_key_changes_nothing(database: Database, clock: FrozenClock) -> None:
    await open_keyring(database, now=clock())
    before = await database.read(stored_keys.listed)
    assert await database.transact(retire_now, "unknown", fresh=fresh_key(2), now=clock()) is None
    assert await database.read(stored_keys.listed) == before


async def test_retiring_a_key_twice_changes_nothing_the_second_time(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    await database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(2), now=clock())
    before = await database.read(stored_keys.listed)
    clock.advance(1)
    again = await database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(3), now=clock())
    assert again is None
    assert await database.read(stored_keys.listed) == before


async def test_a_retirement_is_not_undone_by_rotations_at_the_same_time(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    clock.advance(HOUR)
    plans = [
        database.transact(ensure_keys, fresh=fresh_key(node), timetable=TIMETABLE, now=clock())
        for node in range(2, 6)
    ]
    retirements = [
        database.transact(retire_now, fresh_key(1).kid, fresh=fresh_key(node), now=clock())
        for node in range(6, 10)
    ]
    both = [step for pair in zip(plans, retirements, strict=True) for step in pair]
    await asyncio.gather(*both)
    states = await _states(database, now=clock())
    assert states[fresh_key(1).kid] == "gone"
    assert list(states.values()).count("active") == 1


async def test_keys_are_forgotten_ninety_days_after_they_went(database: Database, clock: FrozenClock) -> None:
    await open_keyring(database, now=clock())
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    clock.advance(TIMETABLE.publish_lead + TIMETABLE.stay + timedelta(days=90) - timedelta(seconds=1))
    assert await database.transact(forget_gone, now=clock()) == 0
    clock.advance(1)
    assert await database.transact(forget_gone, now=clock()) == 1
    assert await _states(database, now=clock()) == {fresh_key(2).kid: "active"}


@dataclass
class _Verifier:
    """Keeps a JWKS for its max-age, as HTTP caching allows, and only then asks again."""

    fetched_at: datetime
    kids: set[str]

    def fetch_when_stale(self, node: Keyring, *, now: datetime, node_clock: datetime) -> None:
        if now - self.fetched_at >= TIMETABLE.jwks_max_age:
            self.fetched_at = now
            self.kids = {key["kid"] for key in node.jwks(now=node_clock)["keys"]}


async def test_verifiers_with_cached_jwks_never_fail_across_rotations(
    database: Database, clock: FrozenClock
) -> None:
    # Attacks S4 and FD9: two nodes with differing clocks reload late, verifiers fetch the JWKS from either
    # and keep it for its max-age; whatever was signed must verify everywhere until it expires.
    first = await open_keyring(database, now=clock())
    second = await open_keyring(database, now=clock())
    skews = {first: timedelta(seconds=2), second: timedelta(seconds=-2)}
    never = clock() - timedelta(days=1)
    verifiers = [_Verifier(never, set()) for _ in range(8)]
    alive: list[tuple[datetime, str]] = []
    signers: list[str] = []
    for tick in range(630):
        now = clock.advance(20)
        if tick % 15 == 0:
            number = len(await database.read(stored_keys.listed)) + 1
            await database.transact(ensure_keys, fresh=fresh_key(number), timetable=TIMETABLE, now=now)
        # Verifiers ask before the nodes reload, each at its own tick: they get the oldest knowledge there is.
        asked = (first, second)[tick % 2]
        verifiers[tick % 8].fetch_when_stale(asked, now=now, node_clock=now + skews[asked])
        for node, skew in skews.items():
            await node.reload(now=now + skew)
            signers.append(node.signing_key(now=now + skew).kid)
            alive.append((now + skew + TIMETABLE.longest_lifetime, signers[-1]))
        alive = [(expires_at, kid) for expires_at, kid in alive if now < expires_at]
        fresh = [verifier for verifier in verifiers if now - verifier.fetched_at < TIMETABLE.jwks_max_age]
        assert all({kid for _, kid in alive} <= verifier.kids for verifier in fresh)
    assert len(set(signers)) == 4
