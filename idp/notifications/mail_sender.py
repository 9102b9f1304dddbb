from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from jinja2 import TemplateError

from idp.notifications.delivery import Delayed, Patience
from idp.notifications.mail import MailRenderer
from idp.notifications.outbox import MAIL_VALUES, Sealer, unseal_values
from idp.notifications.transport import MailTransport
from idp.storage.outbox import Message

_PATIENCE = Patience(
    first_pause=timedelta(seconds=30),
    longest_pause=timedelta(hours=1),
    # Then the links that mails carry are dead anyway.
    give_up_after=timedelta(hours=24),
)


class MailSender:
    """Sends mails: the same bytes each time, so that a second copy is known as one by its Message-ID."""

    def __init__(self, *, transport: MailTransport, sealer: Sealer, renderer: MailRenderer) -> None:
        self._transport = transport
        self._sealer = sealer
        self._renderer = renderer

    @property
    def name(self) -> str:
        """What the audit log calls it."""
        return "mail"

    @property
    def kinds(self) -> AbstractSet[str]:
        """Every kind of mail."""
        return MAIL_VALUES.keys()

    @property
    def patience(self) -> Patience:
        """A day, as mail servers have it."""
        return _PATIENCE

    async def send(self, message: Message, *, now: datetime) -> None:
        """Render and hand over one mail. Raises Delayed or Refused."""
        try:
            mail = self._renderer.render(
                message.kind,
                unseal_values(message, sealer=self._sealer),
                message_id=message.id,
                recipient=message.recipient,
                created_at=message.created_at,
            )
            await self._transport.send(mail)
        # A wrong key or template is an operator's to mend; the mail waits for that.
        except (ValueError, TemplateError) as fault:
            raise Delayed(f"{type(fault).__name__}: {fault}") from fault
