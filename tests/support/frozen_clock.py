"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class FrozenClock:
    """An `idp.clock.Clock` whose time passes only by `advance`."""

    def __init__(self, start: datetime = NOON) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: float | timedelta) -> datetime:
        """Let `by` pass (seconds, or a timedelta; negative sets the clock back); answer the new time."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)
        return self._now
