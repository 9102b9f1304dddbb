"""Sending what waits in the outbox: at least once, never lost, by one node at a time.

A node leases a message, hands it over and finishes it. When the node dies in between, the lease runs out and
another sends it again, under the same identifier.
"""

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

import structlog

from idp import audit, opaque_token
from idp.storage import outbox
from idp.storage.database import Database, Transaction
from idp.storage.outbox import Message
from idp.storage.session_apps import LOGOUT_TOKEN

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.notifications")

SEND_TIMEOUT = timedelta(seconds=30)
"""How long handing over one message may take in all."""
LEASE = 2 * SEND_TIMEOUT
"""Messages of one lease are sent side by side: it outlasts the slowest with as much again to spare."""
_LONGEST_OUTCOME = 200


class Delayed(Exception):  # noqa: N818 - an outcome, named as the log names it
    """The message could not be handed over now; trying again may succeed."""


class Refused(Exception):  # noqa: N818 - as above
    """The message will never be taken, as it is or by whom it is for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on trying: pauses that double from the first to the longest, until giving up."""

    first_pause: timedelta
    longest_pause: timedelta
    give_up_after: timedelta


class Sender(Protocol):
    """One way out of the outbox, for messages of some kinds."""

    @property
    def name(self) -> str:
        """What the audit log calls such a message."""

    @property
    def kinds(self) -> AbstractSet[str]:
        """The kinds of messages that go this way."""

    @property
    def patience(self) -> Patience:
        """How long to go on trying."""

    async def send(self, message: Message, *, now: datetime) -> None:
        """Hand over one message, until the other side answers for it. Raises Delayed or Refused."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    result: Literal["delivered", "delayed", "refused"]
    reason: str = ""


async def deliver_due(database: Database, *, sender: Sender, now: datetime, limit: int) -> int:
    """Send the messages that are due, at most `limit` of them side by side; answer how many were tried.

    As many as `limit` means that more may wait. Raises TemporarilyUnavailable; whatever was not finished then
    is sent again.
    """
    messages = await database.single(
        outbox.lease, kinds=sender.kinds, until=now + LEASE, limit=limit, now=now
    )
    settled = await asyncio.gather(
        *(_deliver(database, message, sender=sender, now=now) for message in messages),
        return_exceptions=True,
    )
    for fault in settled:
        if fault is not None:
            raise fault
    return len(messages)


async def _deliver(database: Database, message: Message, *, sender: Sender, now: datetime) -> None:
    attempt = await _attempt(message, sender=sender, now=now)
    event = {"message_id": message.id, "kind": message.kind, "attempts": message.attempts}
    if attempt.result == "delivered":
        await database.single(outbox.finish, message_id=message.id, outcome="delivered", now=now)
        log.info("message_delivered", **event)
        return
    patience = sender.patience
    pause = pause_after(message.attempts, patience=patience, jitter=opaque_token.random_bytes(1)[0] / 255)
    is_final = attempt.result == "refused" or now + pause > message.created_at + patience.give_up_after
    if is_final:
        await database.transact(_give_up, message, attempt=attempt, name=sender.name, now=now)
        log.error("message_given_up", reason=attempt.reason, **event)
        return
    await database.single(
        outbox.retry_at,
        message_id=message.id,
        attempt=message.attempts,
        next_attempt_at=now + pause,
        outcome=_outcome(attempt),
    )
    log.warning("message_delayed", reason=attempt.reason, **event)


async def _attempt(message: Message, *, sender: Sender, now: datetime) -> _Attempt:
    try:
        async with asyncio.timeout(SEND_TIMEOUT.total_seconds()):
            await sender.send(message, now=now)
    except Refused as fault:
        return _Attempt("refused", str(fault))
    except Delayed as fault:
        return _Attempt("delayed", str(fault))
    except TimeoutError:
        return _Attempt("delayed", "the other side took too long")
    return _Attempt("delivered")


async def _give_up(tx: Transaction, message: Message, *, attempt: _Attempt, name: str, now: datetime) -> None:
    await outbox.finish(tx, message_id=message.id, outcome=_outcome(attempt), now=now)
    await audit.record(
        tx,
        f"{name}_given_up",
        outcome="failure",
        reason="refused" if attempt.result == "refused" else "expired",
        account_id=message.account_id,
        # A mail's recipient is an address, which belongs into no log.
        client_id=message.recipient if message.kind == LOGOUT_TOKEN else None,
        details={
            "message_id": message.id,
            "kind": message.kind,
            "attempts": message.attempts,
        },
        now=now,
    )


def pause_after(attempts: int, *, patience: Patience, jitter: float) -> timedelta:
    """Answer how long to wait after so many attempts: doubling, and spread by `jitter` (0 to 1)."""
    doubled = patience.first_pause * (1 << min(attempts - 1, 20))
    # Between three and five quarters: messages that failed together do not come back together.
    return min(doubled, patience.longest_pause) * (0.75 + jitter / 2)


def _outcome(attempt: _Attempt) -> str:
    return f"{attempt.result}: {attempt.reason}"[:_LONGEST_OUTCOME]
