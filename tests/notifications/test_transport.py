import asyncio
import ipaddress
import ssl
import stat
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idp.notifications.transport import (
    FileTransport,
    MailDelayed,
    MailRefused,
    SmtpServer,
    SmtpTransport,
    open_transport,
)
from idp.settings import SettingsError
from tests.notifications.mails import write_mail
from tests.notifications.smtp_sink import SmtpSink, smtp_sink
from tests.support.frozen_clock import NOON


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        # Not the frozen clock's: OpenSSL looks at the machine's.
        .not_valid_before(NOON - timedelta(days=7300))
        .not_valid_after(NOON + timedelta(days=7300))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "sink.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + built.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting_tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _transport(
    sink: SmtpSink,
    *,
    is_tls: bool = False,
    password: str | None = None,
    tls_context: ssl.SSLContext | None = None,
) -> SmtpTransport:
    server = SmtpServer(
        host="127.0.0.1",
        port=sink.port,
        is_tls_from_the_start=is_tls,
        username="mailer" if password else None,
        password=password,
    )
    return SmtpTransport(server, local_hostname="id.example.com", tls_context=tls_context)


async def test_a_mail_arrives_as_it_was_written_for_one_recipient() -> None:
    async with smtp_sink() as sink:
        await _transport(sink).send(write_mail())
    assert sink.recipients == [["ada@example.com"]]
    (mail,) = sink.mails
    assert mail["To"] == "ada@example.com"
    assert mail["Message-ID"] == "<mail-1@id.example.com>"
    assert "within 24 hours" in str(mail.get_body(("plain",)))


async def test_starttls_is_used_when_offered(
    server_tls: ssl.SSLContext, trusting_tls: ssl.SSLContext
) -> None:
    async with smtp_sink(starttls=server_tls) as sink:
        await _transport(sink, tls_context=trusting_tls).send(write_mail())
    assert sink.were_private == [True]


async def test_smtps_is_tls_from_the_start(server_tls: ssl.SSLContext, trusting_tls: ssl.SSLContext) -> None:
    async with smtp_sink(tls=server_tls) as sink:
        await _transport(sink, is_tls=True, tls_context=trusting_tls).send(write_mail())
    assert len(sink.mails) == 1


@pytest.mark.parametrize("is_tls", [True, False])
async def test_a_server_that_cannot_prove_its_name_gets_no_mail(
    server_tls: ssl.SSLContext, *, is_tls: bool
) -> None:
    tls, starttls = (server_tls, None) if is_tls else (None, server_tls)
    async with smtp_sink(tls=tls, starttls=starttls) as sink:
        with pytest.raises(MailDelayed):
            await _transport(sink, is_tls=is_tls).send(write_mail())
    assert sink.mails == []


async def test_the_password_is_sent_over_tls(
    server_tls: ssl.SSLContext, trusting_tls: ssl.SSLContext
) -> None:
    async with smtp_sink(starttls=server_tls, asks_login=True) as sink:
        await _transport(sink, password="p@ss/word", tls_context=trusting_tls).send(write_mail())
    assert sink.logins == [("mailer", "p@ss/word", True)]
    assert len(sink.mails) == 1


async def test_the_password_is_sent_in_clear_to_this_machine_alone() -> None:
    async with smtp_sink(asks_login=True) as sink:
        await _transport(sink, password="p@ss/word").send(write_mail())
    assert sink.logins == [("mailer", "p@ss/word", False)]


async def test_the_password_is_not_sent_in_clear_to_another_machine() -> None:
    # An address that is not among this machine's names, as any other server's.
    async with smtp_sink(host="127.0.0.2", asks_login=True) as sink:
        elsewhere = SmtpServer(
            "127.0.0.2", sink.port, is_tls_from_the_start=False, username="mailer", password="p@ss/word"
        )
        with pytest.raises(MailDelayed, match="not sent in clear"):
            await SmtpTransport(elsewhere, local_hostname="id.example.com").send(write_mail())
    assert sink.logins == []


async def test_a_wrong_password_delays_the_mail() -> None:
    async with smtp_sink(asks_login=True) as sink:
        with pytest.raises(MailDelayed, match="535"):
            await _transport(sink, password="wrong").send(write_mail())


@pytest.mark.parametrize("answers", ["rcpt_answers", "data_answers"])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("451 Come back later", MailDelayed),
        ("421 Closing", MailDelayed),
        ("550 No such mailbox", MailRefused),
    ],
)
async def test_a_4yz_delays_and_a_5yz_refuses(
    answers: str, answer: str, outcome: type[MailDelayed | MailRefused]
) -> None:
    async with smtp_sink() as sink:
        getattr(sink, answers).append(answer)
        with pytest.raises(outcome, match=answer[:3]):
            await _transport(sink).send(write_mail())
    assert sink.mails == []


async def test_an_address_outside_ascii_is_refused_by_a_server_without_smtputf8() -> None:
    async with smtp_sink() as sink:
        with pytest.raises(MailRefused, match="ASCII"):
            await _transport(sink).send(write_mail("ädä@example.com"))


async def test_a_server_that_is_down_delays_the_mail() -> None:
    async with smtp_sink() as sink:
        transport = _transport(sink)
    with pytest.raises(MailDelayed):
        await transport.send(write_mail())


async def _greet_with(greeting: bytes) -> asyncio.Server:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "greeting", [b"", b"554 Not you\r\n", b"421 Busy\r\n", b"HTTP/1.1 400\r\n\r\n", b"\xff\r\n"]
)
async def test_a_server_that_will_not_talk_delays_the_mail(greeting: bytes) -> None:
    async with await _greet_with(greeting) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MailDelayed):
            await _transport(SmtpSink(port=port)).send(write_mail())


async def test_a_mail_is_a_file_that_its_owner_alone_reads(tmp_path: Path) -> None:
    await FileTransport(tmp_path / "mail").send(write_mail())
    (file,) = _files(tmp_path / "mail")
    assert file.name == "20260701T120000.000000Z-mail-1.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert message_from_bytes(file.read_bytes(), policy=default)["To"] == "ada@example.com"


async def test_files_are_listed_in_order_of_time(tmp_path: Path) -> None:
    transport = FileTransport(tmp_path)
    for number, message_id in enumerate(["z", "a", "m"]):
        created_at = NOON + timedelta(milliseconds=number)
        await transport.send(write_mail(message_id=message_id, created_at=created_at))
    assert [file.stem[-1] for file in _files(tmp_path)] == ["z", "a", "m"]


async def test_the_same_mail_again_is_the_same_file(tmp_path: Path) -> None:
    transport = FileTransport(tmp_path)
    await asyncio.gather(*(transport.send(write_mail()) for _ in range(8)))
    assert len(_files(tmp_path)) == 1


async def test_a_folder_that_cannot_be_written_delays_the_mail(tmp_path: Path) -> None:
    (tmp_path / "mail").touch()
    with pytest.raises(MailDelayed):
        await FileTransport(tmp_path / "mail").send(write_mail())


async def test_an_unfinished_file_does_not_stay(tmp_path: Path) -> None:
    # A folder stands where the file shall be.
    (tmp_path / "20260701T120000.000000Z-mail-1.eml").mkdir()
    with pytest.raises(MailDelayed):
        await FileTransport(tmp_path).send(write_mail())
    assert len(_files(tmp_path)) == 1


def test_without_a_server_mails_become_files(tmp_path: Path) -> None:
    assert isinstance(open_transport(None, data_directory=tmp_path, issuer_host="x"), FileTransport)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, is_tls_from_the_start=False)),
        ("smtps://mail.example.com", SmtpServer("mail.example.com", 465, is_tls_from_the_start=True)),
        ("smtp://localhost:25/", SmtpServer("localhost", 25, is_tls_from_the_start=False)),
        (
            "smtp://ada%40x:p%40ss%2Fword@mail.example.com:2525",
            SmtpServer(
                "mail.example.com", 2525, is_tls_from_the_start=False, username="ada@x", password="p@ss/word"
            ),
        ),
    ],
)
def test_the_url_says_server_port_tls_and_login(tmp_path: Path, url: str, server: SmtpServer) -> None:
    transport = open_transport(url, data_directory=tmp_path, issuer_host="x")
    assert isinstance(transport, SmtpTransport)
    assert transport._server == server  # noqa: SLF001 - what was read of the URL has no other face


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://u:secret@mail.example.com",
        "smtp://",
        "smtp://u:secret@h:99999",
        "smtp://[u:secret",
    ],
)
def test_a_url_that_is_none_is_refused_and_its_password_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"smtp\.url") as refused:
        open_transport(url, data_directory=tmp_path, issuer_host="x")
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_password_is_not_in_the_representation() -> None:
    server = SmtpServer("h", 25, is_tls_from_the_start=False, username="u", password="secret")
    assert "secret" not in repr(server)
