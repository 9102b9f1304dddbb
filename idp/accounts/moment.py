"""Times as people say them, with the exact one beside."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_STEPS = (
    (timedelta(hours=1), timedelta(minutes=1), "minute"),
    (timedelta(days=1), timedelta(hours=1), "hour"),
    (timedelta(days=30), timedelta(days=1), "day"),
    (timedelta(days=365), timedelta(days=30), "month"),
)
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Moment:
    """One time in three spellings: "2 hours ago", "2026-07-01 12:00 UTC", and for machines."""

    relative: str
    exact: str
    iso: str


def describe(at: datetime, *, now: datetime) -> Moment:
    """Spell a time of the past."""
    return Moment(
        relative=_relative(now - at),
        exact=at.strftime("%Y-%m-%d %H:%M UTC"),
        iso=at.isoformat(timespec="seconds"),
    )


def day(at: datetime) -> str:
    """Spell a day: "28 November 2026"."""
    return f"{at.day} {at:%B %Y}"


def _relative(age: timedelta) -> str:
    if age < timedelta(minutes=1):
        return "just now"
    for limit, unit, word in _STEPS:
        if age < limit:
            return _ago(age // unit, word)
    return _ago(age // _YEAR, "year")


def _ago(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'} ago"
