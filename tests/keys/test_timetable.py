import itertools
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.keys.timetable import Timetable, is_withdrawn, state_of
from idp.settings import Settings, Tokens
from tests.keys.signing_keys import TIMETABLE
from tests.support.frozen_clock import NOON

SECOND = timedelta(seconds=1)
CLOCK_SKEW = timedelta(seconds=2)
RELOAD = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Key:
    made_at: datetime
    activates_at: datetime
    retires_at: datetime | None = None
    gone_at: datetime | None = None


timetables = st.builds(
    Timetable,
    rotation_interval=st.timedeltas(min_value=timedelta(hours=1), max_value=timedelta(days=90)),
    jwks_max_age=st.timedeltas(min_value=timedelta(seconds=10), max_value=timedelta(days=1)),
    longest_lifetime=st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=1)),
)
# How long after the last look somebody looks again whether a key is due: a minute, or after a long outage.
pauses = st.lists(st.timedeltas(min_value=SECOND, max_value=timedelta(days=60)), min_size=1, max_size=60)


def lived(timetable: Timetable, pauses: list[timedelta]) -> list[Key]:
    """Let a deployment live: look for due keys after each pause; answer all its keys."""
    now = NOON
    keys: list[Key] = []
    for pause in [timedelta(0), *pauses]:
        now += pause
        activates_at = timetable.due_activation(keys, now=now)
        if activates_at is None:
            continue
        if keys:
            gone_at = activates_at + timetable.stay
            keys[-1] = replace(keys[-1], retires_at=activates_at, gone_at=gone_at)
        keys.append(Key(made_at=now, activates_at=activates_at))
    return keys


def test_the_spans_come_from_the_settings() -> None:
    settings = Settings(tokens=Tokens(access_token_lifetime_seconds=600, id_token_lifetime_seconds=3600))
    timetable = Timetable.from_settings(settings)
    assert timetable.rotation_interval == timedelta(days=30)
    assert timetable.publish_lead == timedelta(seconds=300 + 5 + 30)
    assert timetable.stay == timedelta(seconds=3600 + 5 + 30)


def test_the_first_key_of_an_empty_deployment_is_active_at_once() -> None:
    assert TIMETABLE.due_activation([], now=NOON) == NOON


def test_no_key_is_due_before_the_publish_lead() -> None:
    keys = [Key(NOON, NOON)]
    due_at = NOON + timedelta(hours=1) - TIMETABLE.publish_lead
    assert TIMETABLE.due_activation(keys, now=due_at - SECOND) is None
    assert TIMETABLE.due_activation(keys, now=due_at) == NOON + timedelta(hours=1)


def test_a_key_that_is_overdue_is_published_first_all_the_same() -> None:
    keys = [Key(NOON, NOON)]
    later = NOON + timedelta(days=7)
    assert TIMETABLE.due_activation(keys, now=later) == later + TIMETABLE.publish_lead


def test_no_key_is_due_while_one_is_planned() -> None:
    keys = [Key(NOON, NOON), Key(NOON, NOON + timedelta(days=30))]
    assert TIMETABLE.due_activation(keys, now=NOON + timedelta(days=29)) is None


def test_when_every_key_is_gone_the_next_is_active_at_once() -> None:
    keys = [Key(NOON, NOON, retires_at=NOON, gone_at=NOON)]
    assert TIMETABLE.due_activation(keys, now=NOON + SECOND) == NOON + SECOND


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(-1, "next"), (0, "active"), (9, "active"), (10, "retiring"), (19, "retiring"), (20, "gone")],
)
def test_a_key_goes_from_next_to_active_to_retiring_to_gone(seconds: int, state: str) -> None:
    key = Key(NOON, NOON, retires_at=NOON + 10 * SECOND, gone_at=NOON + 20 * SECOND)
    assert state_of(key, now=NOON + seconds * SECOND) == state


def test_only_a_key_without_a_stay_was_withdrawn() -> None:
    assert is_withdrawn(Key(NOON, NOON, retires_at=NOON, gone_at=NOON))
    assert not is_withdrawn(Key(NOON, NOON, retires_at=NOON, gone_at=NOON + SECOND))
    assert not is_withdrawn(Key(NOON, NOON))


@given(timetable=timetables, pauses=pauses, at=st.timedeltas(timedelta(0), timedelta(days=365)))
def test_exactly_one_key_signs_at_any_moment(
    timetable: Timetable, pauses: list[timedelta], at: timedelta
) -> None:
    keys = lived(timetable, pauses)
    moments = [
        NOON + at,
        *(key.activates_at for key in keys),
        *(key.activates_at - SECOND for key in keys[1:]),
    ]
    for moment in moments:
        assert [state_of(key, now=moment) for key in keys].count("active") == 1


@given(timetable=timetables, pauses=pauses)
def test_a_verifier_with_a_cached_jwks_never_lacks_a_key(
    timetable: Timetable, pauses: list[timedelta]
) -> None:
    keys = lived(timetable, pauses)
    for key in keys:
        # True moments at which a node, its clock as wrong as it may be, first and last signs with the key.
        first = key.activates_at - (CLOCK_SKEW if key is not keys[0] else timedelta(0))
        last = (key.retires_at or key.activates_at + timetable.rotation_interval) + CLOCK_SKEW
        # What goes wrong goes wrong at an edge: read at once or just before it expires, by a JWKS that is new
        # or as old as it may be, from a node whose clock is before or behind.
        for signed_at, lifetime, age, skew in itertools.product(
            (first, last),
            (timedelta(0), timetable.longest_lifetime - SECOND),
            (timedelta(0), timetable.jwks_max_age),
            (-CLOCK_SKEW, CLOCK_SKEW),
        ):
            fetched_at = signed_at + lifetime - age
            # The first key is used from the first moment, when nobody can have fetched anything.
            if fetched_at >= NOON + RELOAD:
                assert key.made_at <= fetched_at - RELOAD
                assert state_of(key, now=fetched_at + skew) != "gone"
