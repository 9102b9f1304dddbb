import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from idp import resources
from idp.notifications.delivery import Refused
from idp.settings import SettingsError

LONGEST_ADDRESS = 254  # RFC 5321 §4.5.3.1.3: a path of 256 with its angle brackets.
LONGEST_PLAIN_LINE = 900  # RFC 5322 §2.1.1 allows 998.
# No quoted local parts, comments, groups, lists or domain literals: what is left has one reading.
_ADDRESS = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@[^\s@\"(),:;<>\[\]\\]+")
_INVITES_A_LINK = re.compile(r"([.:/@])(?=\S)")
_ZERO_WIDTH_SPACE = "\u200b"
_DIRECTION_CHANGES = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class MailError(Refused):
    """This mail cannot be written, now or later: its address or its link is not one."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A written mail and its envelope: one sender, one recipient."""

    id: str
    created_at: datetime
    sender: str
    recipient: str
    message: EmailMessage


class MailRenderer:
    """Writes mails from `templates/mail/`: each kind as text (its first line is the subject) and as HTML."""

    def __init__(self, *, issuer: str, issuer_host: str, service_name: str, sender: str) -> None:
        self._issuer = issuer
        self._host = issuer_host
        self._sender = sender
        self._sender_address = _sender_address(sender)
        self._environment = Environment(
            loader=FileSystemLoader(resources.directory("templates") / "mail"),
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            service_name=service_name,
            sign_in_link=f"{issuer}/login",
            recover_link=f"{issuer}/recover",
            account_link=f"{issuer}/account",
        )

    def render(
        self,
        kind: str,
        values: Mapping[str, str | int],
        *,
        message_id: str,
        recipient: str,
        created_at: datetime,
    ) -> OutgoingMail:
        """Write one mail; the same arguments write the same bytes, so that a re-send is the same mail.

        Raises MailError, and what Jinja raises when a template is wrong.
        """
        address = _single_address(recipient)
        shown = {name: self._shown(name, value) for name, value in values.items()}
        subject, text = self._subject_and_text(kind, shown)
        html = self._environment.get_template(f"{kind}.html").render(subject=subject, **shown)
        message = EmailMessage(policy=SMTP if recipient.isascii() else SMTPUTF8)
        message["From"] = self._sender
        message["To"] = address
        message["Subject"] = subject
        message["Date"] = created_at
        message["Message-ID"] = f"<{message_id}@{self._host}>"
        # RFC 3834 §5: so that no vacation notice answers.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text, cte=_transfer_encoding(text))
        message.add_alternative(html, subtype="html", cte=_transfer_encoding(html))
        message.set_boundary(f"=_{message_id}")
        return OutgoingMail(
            id=message_id,
            created_at=created_at,
            sender=self._sender_address,
            recipient=address.addr_spec,
            message=message,
        )

    def _subject_and_text(self, kind: str, shown: Mapping[str, str | int]) -> tuple[str, str]:
        # No value has a line break in it, so that the first line is the template's own.
        rendered = self._environment.get_template(f"{kind}.txt").render(shown)
        first, _, text = rendered.partition("\n")
        return first.removeprefix("Subject: "), text.lstrip("\n") + "\n"

    def _shown(self, name: str, value: str | int) -> str | int:
        if isinstance(value, int):
            return value
        if name == "link":
            return self._own_link(value)
        return _unlinked(_one_line(value))

    def _own_link(self, link: str) -> str:
        # A mail of ours leads to us alone, whatever was written into the outbox.
        if not link.startswith(f"{self._issuer}/") or not link.isascii() or re.search(r"[\s<>\"]", link):
            raise MailError("link does not lead to the issuer")
        return link


def _sender_address(sender: str) -> str:
    # Not into a header before it is known to be one line.
    parsed = EmailMessage(policy=SMTP)
    parsed["From"] = sender if sender.isprintable() else ""
    addresses: tuple[Address, ...] = parsed["From"].addresses
    if len(addresses) != 1 or not _ADDRESS.fullmatch(addresses[0].addr_spec):
        raise SettingsError("smtp.sender (IDP_SMTP__SENDER): must be like `Sign-in <no-reply@example.com>`")
    return addresses[0].addr_spec


def _single_address(recipient: str) -> Address:
    # A list, a group or a quoted part would be read as other recipients by someone on the way.
    if len(recipient) > LONGEST_ADDRESS or not recipient.isprintable() or not _ADDRESS.fullmatch(recipient):
        raise MailError("recipient is not one plain address")
    local, _, domain = recipient.partition("@")
    try:
        # RFC 5891: a server without SMTPUTF8 knows the ASCII form of a domain alone.
        return Address(username=local, domain=domain.encode("idna").decode("ascii"))
    except UnicodeError as fault:
        raise MailError("recipient's domain is not one") from fault


def _one_line(value: str) -> str:
    """Replace control characters, line ends and what turns the direction of writing."""
    return "".join(
        " "
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _DIRECTION_CHANGES
        else character
        for character in value
    )


def _unlinked(value: str) -> str:
    """Break what a mail program would make a link of: a stranger chose this name."""
    return _INVITES_A_LINK.sub(rf"\1{_ZERO_WIDTH_SPACE}", value)


def _transfer_encoding(content: str) -> str:
    # Plain wherever possible: a file that an operator opens then shows the link whole.
    is_plain = content.isascii() and all(len(line) <= LONGEST_PLAIN_LINE for line in content.splitlines())
    return "7bit" if is_plain else "quoted-printable"
