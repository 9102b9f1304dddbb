"""The apps of browser sessions: which were given a grant from one, and what they were told of its end."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from idp.storage.database import Transaction
from idp.storage.tables import clients, grants, outbox

LOGOUT_TOKEN = "logout_token"  # noqa: S105 - a kind of message
"""The kind of the outbox's messages that tell an app of a session's end."""


@dataclass(frozen=True, slots=True)
class SessionApp:
    """An app of a session. `message_id` None: no logout token was written for it."""

    session_id: str
    client_id: str
    client_name: str
    backchannel_logout_uri: str | None
    frontchannel_logout_uri: str | None
    message_id: str | None
    told_at: datetime | None
    outcome: str | None


async def of_sessions(tx: Transaction, *, session_ids: Collection[str]) -> list[SessionApp]:
    """List the apps that are still registered, by name."""
    if not session_ids:
        return []
    took_part = (
        sa.select(grants.c.session_id, grants.c.client_id)
        .where(grants.c.session_id.in_(session_ids))
        .distinct()
        .subquery()
    )
    told = sa.and_(
        outbox.c.session_id == took_part.c.session_id,
        outbox.c.recipient == took_part.c.client_id,
        outbox.c.kind == LOGOUT_TOKEN,
    )
    name = _metadata("client_name")
    result = await tx.execute(
        sa.select(
            took_part.c.session_id,
            took_part.c.client_id,
            name,
            _metadata("backchannel_logout_uri"),
            _metadata("frontchannel_logout_uri"),
            outbox.c.id,
            outbox.c.done_at,
            outbox.c.outcome,
        )
        .join(clients, clients.c.id == took_part.c.client_id)
        .outerjoin(outbox, told)
        .order_by(name, took_part.c.client_id, took_part.c.session_id)
    )
    return [SessionApp(*row) for row in result]


def _metadata(name: str) -> sa.ColumnElement[str]:
    found: sa.ColumnElement[str] = clients.c.metadata[name].as_string()
    return found
