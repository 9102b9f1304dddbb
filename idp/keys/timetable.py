"""When a signing key is published, signs, stays and goes: pure rules over the instants in its row.

A verifier may hold a JWKS for its max-age, so a key is published at least that long before it signs. What a
key signed lives on, so the key stays published until the last of it expired. Nodes learn of a change only at
their next reload, by clocks that differ a little: both spans are longer by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, Self

from idp.settings import Settings

State = Literal["next", "active", "retiring", "gone"]

RELOAD_INTERVAL = timedelta(seconds=5)
"""A node in service has reloaded its keyring at most this long ago; it tries each second."""
MARGIN = timedelta(seconds=30)
"""For clocks that differ (a node over 2 s is not ready) and a commit that came late after its `now`."""


class Timed(Protocol):
    """The instants of a key; `retires_at` and `gone_at` None: not before a successor is planned."""

    @property
    def activates_at(self) -> datetime: ...

    @property
    def retires_at(self) -> datetime | None: ...

    @property
    def gone_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Timetable:
    """The spans that the settings ask for."""

    rotation_interval: timedelta
    jwks_max_age: timedelta
    longest_lifetime: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read the spans from the settings."""
        longest = max(
            settings.tokens.access_token_lifetime_seconds, settings.tokens.id_token_lifetime_seconds
        )
        return cls(
            rotation_interval=timedelta(seconds=settings.keys.rotation_interval_seconds),
            jwks_max_age=timedelta(seconds=settings.keys.jwks_max_age_seconds),
            longest_lifetime=timedelta(seconds=longest),
        )

    @property
    def publish_lead(self) -> timedelta:
        """How long a key is in the JWKS before it signs: by then no cached JWKS is without it."""
        return self.jwks_max_age + RELOAD_INTERVAL + MARGIN

    @property
    def stay(self) -> timedelta:
        """How long a key is in the JWKS after it last signed: by then nothing it signed is valid."""
        return self.longest_lifetime + RELOAD_INTERVAL + MARGIN

    def due_activation(self, keys: Sequence[Timed], *, now: datetime) -> datetime | None:
        """Answer when a key that is made now shall begin to sign, or None when no key is due."""
        states = [(state_of(key, now=now), key) for key in keys]
        if any(state == "next" for state, _ in states):
            return None
        active = [key.activates_at for state, key in states if state == "active"]
        # An empty deployment, or one whose every key was withdrawn: nobody can hold a JWKS worth waiting for.
        if not active:
            return now
        regular = max(active) + self.rotation_interval
        if now < regular - self.publish_lead:
            return None
        return max(regular, now + self.publish_lead)


def state_of(key: Timed, *, now: datetime) -> State:
    """Tell where a key is in its life."""
    if key.gone_at is not None and now >= key.gone_at:
        return "gone"
    if key.retires_at is not None and now >= key.retires_at:
        return "retiring"
    if now >= key.activates_at:
        return "active"
    return "next"


def is_withdrawn(key: Timed) -> bool:
    """Tell whether a key was retired in an emergency: it went without the stay that every other key has."""
    return key.gone_at is not None and key.retires_at is not None and key.gone_at <= key.retires_at
