"""What tests of mails need: a renderer, something that seals, and a mail."""

from datetime import datetime

from idp.notifications.mail import MailRenderer, OutgoingMail
from tests.support.frozen_clock import NOON

ISSUER = "https://id.example.com"
LINK = "https://id.example.com/verify-email?token=abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"


class LabelSealer:
    """Seals by a label in front: readable for a test, and bound to its context like the real one."""

    def encrypt(self, plaintext: bytes, *, context: str) -> bytes:
        return context.encode() + b"\0" + plaintext[::-1]

    def decrypt(self, ciphertext: bytes, *, context: str) -> bytes:
        label, _, reversed_plaintext = ciphertext.partition(b"\0")
        if label != context.encode():
            raise ValueError("sealed elsewhere")
        return reversed_plaintext[::-1]


def open_renderer(
    *, service_name: str = "Example ID", sender: str = "Sign-in <no-reply@id.example.com>"
) -> MailRenderer:
    return MailRenderer(issuer=ISSUER, issuer_host="id.example.com", service_name=service_name, sender=sender)


def write_mail(
    recipient: str = "ada@example.com", *, message_id: str = "mail-1", created_at: datetime = NOON
) -> OutgoingMail:
    return open_renderer().render(
        "verify_email",
        {"link": LINK, "valid_hours": 24},
        message_id=message_id,
        recipient=recipient,
        created_at=created_at,
    )
