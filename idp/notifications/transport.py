import asyncio
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from idp import opaque_token
from idp.notifications.delivery import Delayed, Refused
from idp.notifications.mail import OutgoingMail
from idp.settings import LOOPBACK_NAMES, SettingsError

STEP_TIMEOUT_SECONDS = 10.0
"""How long the mail server may take for each answer."""
_PERMANENT = 500  # RFC 5321 §4.2.1: 5yz, the same again would fail the same.
_DEFAULT_PORTS = {"smtp": 587, "smtps": 465}  # RFC 6409 §3.1, RFC 8314 §3.3


class MailDelayed(Delayed):
    """The mail could not be handed over now; trying again may succeed."""


class MailRefused(Refused):
    """The mail will never be taken: its recipient or its content was refused."""


class MailTransport(Protocol):
    """A way for mails to leave."""

    async def send(self, mail: OutgoingMail) -> None:
        """Hand over one mail, until the other side answers for it. Raises MailDelayed or MailRefused."""


def open_transport(url: str | None, *, data_directory: Path, issuer_host: str) -> MailTransport:
    """Choose the way that the settings ask for: SMTP, or files while none is set. Raises SettingsError."""
    if url is None:
        return FileTransport(data_directory / "mail")
    return SmtpTransport(_parsed(url), local_hostname=issuer_host)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, and as whom."""

    host: str
    port: int
    is_tls_from_the_start: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class SmtpTransport:
    """Hands mails to an SMTP server, each in a connection of its own; TLS whenever the server offers it."""

    def __init__(
        self, server: SmtpServer, *, local_hostname: str, tls_context: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._local_hostname = local_hostname
        self._tls_context = tls_context or ssl.create_default_context()

    async def send(self, mail: OutgoingMail) -> None:
        """Hand over one mail."""
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            local_hostname=self._local_hostname,
            timeout=STEP_TIMEOUT_SECONDS,
            use_tls=self._server.is_tls_from_the_start,
            start_tls=False if self._server.is_tls_from_the_start else None,
            tls_context=self._tls_context,
        )
        try:
            await self._hand_over(client, mail)
        # ValueError: the client's own check of an address, after ours.
        except (aiosmtplib.SMTPException, OSError, ValueError) as fault:
            raise _as_outcome(fault) from fault
        finally:
            client.close()

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: OutgoingMail) -> None:
        await client.connect()
        if self._server.username is not None:
            self._require_privacy(client)
            await client.login(self._server.username, self._server.password or "")
        await client.send_message(mail.message, sender=mail.sender, recipients=[mail.recipient])
        # The server has answered for the mail: a farewell that fails must not send it again.
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit()

    def _require_privacy(self, client: aiosmtplib.SMTP) -> None:
        # RFC 4954 §4: who hides the server's STARTTLS from us must not be given the password.
        is_private = client.get_transport_info("sslcontext") is not None
        if not is_private and self._server.host not in LOOPBACK_NAMES:
            raise MailDelayed("the server offers no TLS, and the password is not sent in clear")


class FileTransport:
    """Writes each mail as an `.eml` file, named so that a listing is in order of time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def send(self, mail: OutgoingMail) -> None:
        """Write one mail; the same mail again replaces its file."""
        try:
            await asyncio.to_thread(self._write, mail)
        except OSError as fault:
            raise MailDelayed(f"{self._directory}: {fault.strerror}") from fault

    def _write(self, mail: OutgoingMail) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{mail.created_at:%Y%m%dT%H%M%S.%fZ}-{mail.id}.eml"
        unfinished = self._directory / f".{name}.{opaque_token.new_identifier()}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(mail.message.as_bytes())
                file.flush()
                os.fsync(descriptor)
            # Whoever watches the folder sees whole mails alone.
            unfinished.replace(self._directory / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise


def _parsed(url: str) -> SmtpServer:
    example = "smtp.url (IDP_SMTP__URL): must be like `smtp://user:password@mail.example.com:587`"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Without its cause: the text of the URL is in it, and so is the password.
        raise SettingsError(example) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(example)
    return SmtpServer(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        is_tls_from_the_start=parts.scheme == "smtps",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _as_outcome(fault: Exception) -> MailDelayed | MailRefused:
    # Only what the server says of this recipient or this content is final. A 5yz to our greeting, password or
    # sender is an operator's to mend, and no mail may be lost by it.
    if isinstance(fault, aiosmtplib.SMTPRecipientsRefused):
        refusal = fault.recipients[0]
        return _by_code(refusal.code, refusal.message)
    if isinstance(fault, aiosmtplib.SMTPDataError):
        return _by_code(fault.code, fault.message)
    if isinstance(fault, aiosmtplib.SMTPNotSupported):
        return MailRefused("the server takes no address outside ASCII")
    if isinstance(fault, aiosmtplib.SMTPResponseException):
        return MailDelayed(f"{fault.code} {fault.message}")
    if isinstance(fault, ValueError) and not isinstance(fault, OSError):
        return MailRefused("the address cannot be sent")
    return MailDelayed(f"{type(fault).__name__}: {fault}")


def _by_code(code: int, message: str) -> MailDelayed | MailRefused:
    kind = MailRefused if code >= _PERMANENT else MailDelayed
    return kind(f"{code} {message}")
