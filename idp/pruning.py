"""Removing what has expired, in small batches, so that nobody waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from idp.keys import rotation
from idp.storage import (
    accounts,
    browser_sessions,
    ceremonies,
    confirmations,
    email_addresses,
    enrolments,
    grants,
    interactions,
    outbox,
    pushed_requests,
    replayed_ids,
    sign_outs,
    token_endings,
)
from idp.storage.database import Database

BATCH = 500
# A batch takes some milliseconds; the pause leaves the database to those who wait for an answer.
_PAUSE_SECONDS = 0.02

Prune = Callable[..., Awaitable[int]]

# What expired stays a while: a late or replayed token is still told apart from a made-up one.
_KEPT: tuple[tuple[str, Prune, timedelta], ...] = (
    ("ceremonies", ceremonies.prune, timedelta(hours=1)),
    ("confirmations", confirmations.prune, timedelta(days=1)),
    ("interactions", interactions.prune, timedelta(days=1)),
    ("email_verifications", email_addresses.prune_verifications, timedelta(days=1)),
    ("enrolments", enrolments.prune, timedelta(days=1)),
    ("pending_accounts", accounts.prune_pending, timedelta(days=8)),
    ("browser_sessions", browser_sessions.prune, timedelta(days=1)),
    ("grants", grants.prune, timedelta(days=1)),
    ("pushed_requests", pushed_requests.prune, timedelta(days=1)),
    ("sign_outs", sign_outs.prune, timedelta(days=1)),
    ("token_endings", token_endings.prune, timedelta(days=2)),
    ("replayed_ids", replayed_ids.prune, timedelta(minutes=10)),
    ("outbox", outbox.prune, timedelta(days=30)),
)


async def prune(database: Database, *, now: datetime) -> dict[str, int]:
    """Remove everything that expired long enough ago; answer how many rows of each kind went."""
    removed: dict[str, int] = {}
    for name, delete_batch, kept_for in _KEPT:
        removed[name] = 0
        while True:
            count = await database.transact(delete_batch, before=now - kept_for, limit=BATCH)
            removed[name] += count
            if count < BATCH:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
    removed["signing_keys"] = await database.transact(rotation.forget_gone, now=now)
    return removed
