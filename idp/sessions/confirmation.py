"""Confirming one operation with a passkey: what is confirmed, and the challenge that stands for it.

Whoever will execute an operation asks for its confirmation here and sends the person to `/confirm`; there a
passkey answers the operation's own challenge; back at the operation's address it is taken, once.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from idp import opaque_token
from idp.storage import confirmations
from idp.storage.browser_sessions import BrowserSession
from idp.storage.confirmations import Confirmation
from idp.storage.database import Transaction

OperationKind = Literal[
    "passkey.add",
    "passkey.rename",
    "passkey.remove",
    "email.add",
    "email.make_primary",
    "email.remove",
    "account.export",
    "account.delete",
]

LIFETIME = timedelta(minutes=2)
"""From asking to executing; who takes longer asks again."""

# Separates these challenges from all other digests, and from random challenges of other ceremonies.
_LABEL = b"idp operation confirmation v1\0"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that one person wants to do in one session, now."""

    kind: str
    account_id: str
    session_id: str
    parameters: Mapping[str, str]
    expires_at: datetime
    nonce: str


def canonical(operation: Operation) -> bytes:
    """Spell an operation in the one way in which it is confirmed."""
    members = {
        "account": operation.account_id,
        "expires_at": int(operation.expires_at.timestamp()),
        "kind": operation.kind,
        "nonce": operation.nonce,
        "parameters": dict(operation.parameters),
        "session": operation.session_id,
    }
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def parse(canonical_operation: bytes) -> Operation:
    """Read an operation as `canonical` spelt it."""
    members = json.loads(canonical_operation)
    return Operation(
        kind=members["kind"],
        account_id=members["account"],
        session_id=members["session"],
        parameters=members["parameters"],
        expires_at=datetime.fromtimestamp(members["expires_at"], UTC),
        nonce=members["nonce"],
    )


def challenge_of(canonical_operation: bytes) -> bytes:
    """Answer the challenge whose signature confirms exactly this operation."""
    return hashlib.sha256(_LABEL + canonical_operation).digest()


def page_of(operation_id: str) -> str:
    """Answer the address of the page that asks for the confirmation."""
    return f"/confirm?operation={operation_id}"


async def ask(
    tx: Transaction,
    kind: OperationKind,
    *,
    session: BrowserSession,
    parameters: Mapping[str, str],
    address: str,
    now: datetime,
) -> str:
    """Let an operation wait for its confirmation; answer its id. `address` is where it is executed."""
    expires_at = now.replace(microsecond=0) + LIFETIME
    operation = canonical(
        Operation(
            kind=kind,
            account_id=session.account_id,
            session_id=session.id,
            parameters=parameters,
            expires_at=expires_at,
            nonce=opaque_token.new_token(),
        )
    )
    operation_id = opaque_token.new_identifier()
    await confirmations.insert(
        tx,
        Confirmation(
            id=operation_id,
            kind=kind,
            account_id=session.account_id,
            session_id=session.id,
            operation=operation,
            challenge=challenge_of(operation),
            address=address,
            created_at=now,
            expires_at=expires_at,
        ),
    )
    return operation_id


async def take(
    tx: Transaction, kind: OperationKind, *, operation_id: str, session: BrowserSession, now: datetime
) -> Operation | None:
    """Take a confirmed operation for execution in this transaction, once; None when there is none."""
    confirmation = await confirmations.use(
        tx,
        confirmation_id=operation_id,
        kind=kind,
        account_id=session.account_id,
        session_id=session.id,
        now=now,
    )
    if confirmation is None:
        return None
    # What is executed is what was signed, to the byte, whatever became of the row meanwhile.
    if not hmac.compare_digest(challenge_of(confirmation.operation), confirmation.challenge):
        return None
    return parse(confirmation.operation)


async def peek(
    tx: Transaction, *, operation_id: str, session: BrowserSession, now: datetime
) -> Operation | None:
    """Read a confirmed operation of this session that is not executed yet, without taking it."""
    confirmed = await confirmations.find_confirmed(
        tx, confirmation_id=operation_id, account_id=session.account_id, session_id=session.id, now=now
    )
    return parse(confirmed.operation) if confirmed else None


async def is_recent(tx: Transaction, session: BrowserSession, *, within: timedelta, now: datetime) -> bool:
    """Whether the person signed in, or confirmed anything in this session, lately enough for small things."""
    if now - session.auth_time <= within:
        return True
    return await confirmations.was_confirmed_since(
        tx, account_id=session.account_id, session_id=session.id, since=now - within
    )
