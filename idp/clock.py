from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Answers the present time, aware and in UTC. Only `app.py` and the commands hand one in."""


def system_clock() -> datetime:
    """Answer the machine's present time, aware and in UTC."""
    return datetime.now(UTC)
