"""Sending what waits in the outbox: at least once, never lost, by one node at a time.

A node leases a mail, hands it over and finishes it. When the node dies in between, the lease runs out and
another sends it again, under the same Message-ID and in the same bytes.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import structlog
from jinja2 import TemplateError

from idp import audit, opaque_token
from idp.notifications.mail import MailError, MailRenderer
from idp.notifications.outbox import Sealer, unseal_values
from idp.notifications.transport import MailDelayed, MailRefused, MailTransport
from idp.storage import outbox
from idp.storage.database import Database, Transaction
from idp.storage.outbox import Message

log: structlog.stdlib.BoundLogger = structlog.get_logger("idp.notifications")

SEND_TIMEOUT = timedelta(seconds=30)
"""How long handing over one mail may take in all."""
LEASE = 2 * SEND_TIMEOUT
"""Mails of one lease are sent side by side, so that it outlasts the slowest with as much again to spare."""
FIRST_RETRY = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
"""Then the links that mails carry are dead anyway."""
_LONGEST_OUTCOME = 200


@dataclass(frozen=True, slots=True)
class _Attempt:
    result: Literal["delivered", "delayed", "refused"]
    reason: str = ""


async def deliver_due(
    database: Database,
    *,
    transport: MailTransport,
    sealer: Sealer,
    renderer: MailRenderer,
    now: datetime,
    limit: int,
) -> int:
    """Send the mails that are due, at most `limit` of them side by side; answer how many were tried.

    As many as `limit` means that more may wait. Raises TemporarilyUnavailable; whatever was not finished then
    is sent again.
    """
    messages = await database.single(outbox.lease, until=now + LEASE, limit=limit, now=now)
    settled = await asyncio.gather(
        *(
            _deliver(database, message, transport=transport, sealer=sealer, renderer=renderer, now=now)
            for message in messages
        ),
        return_exceptions=True,
    )
    for fault in settled:
        if fault is not None:
            raise fault
    return len(messages)


async def _deliver(
    database: Database,
    message: Message,
    *,
    transport: MailTransport,
    sealer: Sealer,
    renderer: MailRenderer,
    now: datetime,
) -> None:
    attempt = await _attempt(message, transport=transport, sealer=sealer, renderer=renderer)
    event = {"message_id": message.id, "kind": message.kind, "attempts": message.attempts}
    if attempt.result == "delivered":
        await database.single(outbox.finish, message_id=message.id, outcome="delivered", now=now)
        log.info("mail_delivered", **event)
        return
    next_attempt_at = now + pause_after(message.attempts, jitter=opaque_token.random_bytes(1)[0] / 255)
    is_final = attempt.result == "refused" or next_attempt_at > message.created_at + GIVE_UP_AFTER
    if is_final:
        await database.transact(_give_up, message, attempt=attempt, now=now)
        log.error("mail_given_up", reason=attempt.reason, **event)
        return
    await database.single(
        outbox.retry_at,
        message_id=message.id,
        attempt=message.attempts,
        next_attempt_at=next_attempt_at,
        outcome=_outcome(attempt),
    )
    log.warning("mail_delayed", reason=attempt.reason, **event)


async def _attempt(
    message: Message, *, transport: MailTransport, sealer: Sealer, renderer: MailRenderer
) -> _Attempt:
    try:
        async with asyncio.timeout(SEND_TIMEOUT.total_seconds()):
            mail = renderer.render(
                message.kind,
                unseal_values(message, sealer=sealer),
                message_id=message.id,
                recipient=message.recipient,
                created_at=message.created_at,
            )
            await transport.send(mail)
    except (MailRefused, MailError) as fault:
        return _Attempt("refused", str(fault))
    except MailDelayed as fault:
        return _Attempt("delayed", str(fault))
    except TimeoutError:
        return _Attempt("delayed", "the mail server took too long")
    # A wrong key or template is an operator's to mend; the mail waits for that.
    except (ValueError, TemplateError) as fault:
        return _Attempt("delayed", f"{type(fault).__name__}: {fault}")
    return _Attempt("delivered")


async def _give_up(tx: Transaction, message: Message, *, attempt: _Attempt, now: datetime) -> None:
    await outbox.finish(tx, message_id=message.id, outcome=_outcome(attempt), now=now)
    await audit.record(
        tx,
        "mail_given_up",
        outcome="failure",
        reason="refused" if attempt.result == "refused" else "expired",
        details={
            "message_id": message.id,
            "kind": message.kind,
            "attempts": message.attempts,
        },
        now=now,
    )


def pause_after(attempts: int, *, jitter: float) -> timedelta:
    """Answer how long to wait after so many attempts: doubling up to an hour, spread by `jitter` (0 to 1)."""
    doubled = FIRST_RETRY * (1 << min(attempts - 1, 20))
    # Between three and five quarters: mails that failed together do not come back together.
    return min(doubled, LONGEST_PAUSE) * (0.75 + jitter / 2)


def _outcome(attempt: _Attempt) -> str:
    return f"{attempt.result}: {attempt.reason}"[:_LONGEST_OUTCOME]
