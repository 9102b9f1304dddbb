import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from idp import opaque_token
from idp.storage import outbox
from idp.storage.database import Transaction
from idp.storage.session_apps import LOGOUT_TOKEN

MailKind = Literal[
    "verify_email",
    "address_in_use",
    "reuse_detected",
    "passkey_added",
    "passkey_removed",
    "email_added",
    "email_removed",
    "primary_email_changed",
    "signed_out_everywhere",
    "deletion_requested",
    "deletion_cancelled",
    "account_deleted",
]

MAIL_VALUES: dict[MailKind, frozenset[str]] = {
    "verify_email": frozenset({"link", "valid_hours"}),
    "address_in_use": frozenset(),
    "reuse_detected": frozenset({"client_name"}),
    "passkey_added": frozenset({"passkey_name"}),
    "passkey_removed": frozenset({"passkey_name"}),
    "email_added": frozenset({"address"}),
    "email_removed": frozenset({"address"}),
    "primary_email_changed": frozenset({"address"}),
    "signed_out_everywhere": frozenset(),
    "deletion_requested": frozenset({"due_on"}),
    "deletion_cancelled": frozenset(),
    "account_deleted": frozenset(),
}
"""What the templates of each kind of mail ask for, beside what they know of the provider itself."""


class Sealer(Protocol):
    """Encrypts what waits in the outbox. Its `decrypt` raises ValueError for what it did not encrypt."""

    def encrypt(self, plaintext: bytes, *, context: str) -> bytes:
        """Encrypt and authenticate for one place alone."""

    def decrypt(self, ciphertext: bytes, *, context: str) -> bytes:
        """Answer what was encrypted for that place."""


async def enqueue_mail(
    tx: Transaction,
    kind: MailKind,
    *,
    recipient: str,
    values: Mapping[str, str | int],
    sealer: Sealer,
    now: datetime,
) -> str:
    """Write a mail in the transaction of what it tells; answer its id. It is sent after the commit, or never.

    The values wait encrypted, for a link in one is a secret.
    """
    # Asked here, where the test of the caller sees it, and not when the mail is due and cannot be mended.
    if values.keys() != MAIL_VALUES[kind]:
        raise ValueError(f"a mail {kind} needs exactly {sorted(MAIL_VALUES[kind])}")
    message_id = opaque_token.new_identifier()
    await outbox.insert(
        tx,
        message_id=message_id,
        kind=kind,
        recipient=recipient,
        payload_encrypted=sealer.encrypt(json.dumps(dict(values)).encode(), context=_context(message_id)),
        now=now,
    )
    return message_id


async def enqueue_logout_token(
    tx: Transaction, *, client_id: str, account_id: str, session_id: str, now: datetime
) -> str:
    """Write to an app, in the transaction that ends a session, that it is over; answer the message's id.

    The token itself is signed when it is sent, so that it is fresh however late the app comes back.
    """
    message_id = opaque_token.new_identifier()
    await outbox.insert(
        tx,
        message_id=message_id,
        kind=LOGOUT_TOKEN,
        recipient=client_id,
        payload_encrypted=None,
        account_id=account_id,
        session_id=session_id,
        now=now,
    )
    return message_id


def unseal_values(message: outbox.Message, *, sealer: Sealer) -> dict[str, str | int]:
    """Answer the values of a waiting mail. Raises ValueError when they were not sealed for it."""
    if message.payload_encrypted is None:
        raise ValueError("no values were sealed")
    unsealed = sealer.decrypt(message.payload_encrypted, context=_context(message.id))
    values: dict[str, str | int] = json.loads(unsealed)
    return values


def _context(message_id: str) -> str:
    return f"outbox:{message_id}"
