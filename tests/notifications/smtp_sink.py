"""A real SMTP server on loopback that keeps what it takes, and answers as a test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class SmtpSink:
    """What happened at the server, and what it shall say next; with nothing left to say it takes the mail."""

    port: int = 0
    rcpt_answers: list[str] = field(default_factory=list)
    data_answers: list[str] = field(default_factory=list)
    data_pause_seconds: float = 0.0
    attempts: int = 0
    has_content: asyncio.Event = field(default_factory=asyncio.Event)
    recipients: list[list[str]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    logins: list[tuple[str, str, bool]] = field(default_factory=list)
    were_private: list[bool] = field(default_factory=list)

    @property
    def mails(self) -> list[EmailMessage]:
        parsed = [
            message_from_bytes(content, _class=EmailMessage, policy=default) for content in self.contents
        ]
        return [mail for mail in parsed if isinstance(mail, EmailMessage)]

    # The names and signatures of the following are aiosmtpd's.
    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.attempts += 1
        if self.rcpt_answers:
            answer = self.rcpt_answers.pop(0)
            if not answer.startswith("250"):
                return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.has_content.set()
        await asyncio.sleep(self.data_pause_seconds)
        if self.data_answers:
            answer = self.data_answers.pop(0)
            if not answer.startswith("250"):
                return answer
        assert isinstance(envelope.content, bytes)
        self.recipients.append(list(envelope.rcpt_tos))
        self.contents.append(envelope.content)
        self.were_private.append(session.ssl is not None)
        return "250 Taken"

    def authenticate(
        self, _server: SMTP, session: Session, _envelope: Envelope, _mechanism: str, presented: object
    ) -> AuthResult:
        assert isinstance(presented, LoginPassword)
        self.logins.append((presented.login.decode(), presented.password.decode(), session.ssl is not None))
        return AuthResult(success=presented.password == b"p@ss/word", handled=False)


@asynccontextmanager
async def smtp_sink(
    *,
    host: str = "127.0.0.1",
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    asks_login: bool = False,
) -> AsyncIterator[SmtpSink]:
    """Serve on a free port of the loopback interface."""
    sink = SmtpSink()
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {}  # Any: aiosmtpd's own keywords, of many types
    if asks_login:
        options = {"authenticator": sink.authenticate, "auth_require_tls": False}

    def session() -> SMTP:
        return SMTP(
            sink, hostname="sink.test", tls_context=starttls, loop=loop, enable_SMTPUTF8=False, **options
        )

    server = await loop.create_server(session, host, 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        await server.wait_closed()
