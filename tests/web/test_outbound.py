import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idp.web import outbound
from idp.web.outbound import MAX_ANSWER_BYTES, Outbound, OutboundError
from tests.support.frozen_clock import NOON

LOOPBACK = ("127.0.0.0/8", "::1/128")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ONE_TEXT = "the address could not be reached"


@dataclass
class Listener:
    """A server that writes what the test says and remembers who came."""

    port: int = 0
    connections: int = 0
    received: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def listening(
    *answer: bytes, host: str = "127.0.0.1", port: int = 0, pause: float = 0.0, repeat: int = 1
) -> AsyncIterator[Listener]:
    listener = Listener()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        try:
            listener.received.append(await reader.read(65_536))
            for part in answer * repeat:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


@pytest.fixture
async def strict() -> AsyncIterator[Outbound]:
    """As an operator runs it: no network of our own may be reached."""
    opened = Outbound()
    yield opened
    await opened.close()


@pytest.fixture
async def lenient() -> AsyncIterator[Outbound]:
    """As `idp dev` runs it: this machine may be reached."""
    opened = Outbound(inner_networks=LOOPBACK)
    yield opened
    await opened.close()


async def refusal(sender: Outbound, url: str) -> str:
    with pytest.raises(OutboundError) as caught:
        await sender.post(url, body=b"secret", headers={})
    return str(caught.value)


# Attack P1: every spelling of this machine that the system's resolver knows, and then other inner places.
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "user@127.0.0.1",
        "public.example@127.0.0.1",
    ],
)
async def test_this_machine_is_not_reached_by_any_of_its_names(strict: Outbound, host: str) -> None:
    async with listening(OK, host="0.0.0.0") as listener:  # noqa: S104 - whoever gets through must be seen
        assert await refusal(strict, f"http://{host}:{listener.port}/") == ONE_TEXT
        assert listener.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",  # metadata services of clouds
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[2001:0:7f00:1::]",
        "[3fff::1]",
        "[64:ff9b:1::a00:1]",
        "[2002:a00:1::]",
    ],
)
async def test_no_inner_address_is_tried(strict: Outbound, host: str) -> None:
    begun = time.monotonic()
    assert await refusal(strict, f"http://{host}/latest/meta-data") == ONE_TEXT
    # Refused by judgement; a connection attempt into nowhere would take the whole time-out.
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"])
def test_public_addresses_are_public(text: str) -> None:
    assert outbound.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///nowhere",
        "http://127.0.0.1:99999/",
        "http://exämple.example/",
        "http://①②⑦.⓪.⓪.①/",
        "http://" + "a" * 300 + ".example/",
        "http://no-such-host.invalid/",
    ],
)
async def test_what_is_no_address_is_refused_in_the_same_words(lenient: Outbound, url: str) -> None:
    assert await refusal(lenient, url) == ONE_TEXT


class Changing:
    """A name whose owner answers each question with the next of its lists of addresses."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.questions = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.questions += 1
        return self._answers.pop(0)


async def test_a_name_that_changes_its_mind_leads_only_where_it_was_judged() -> None:
    # Attack P2: 127.0.0.1 stands for a public address, 127.0.0.2 for an inner one.
    name = Changing(["127.0.0.1"], ["127.0.0.2"])
    sender = Outbound(inner_networks=("127.0.0.1/32",), resolver=name)
    async with (
        listening(OK) as public,
        listening(OK, host="127.0.0.2", port=public.port) as inner,
    ):
        answer = await sender.get(f"http://rebinding.example:{public.port}/", accept="text/plain")
        assert (answer.status, answer.body) == (200, b"ok")
        assert name.questions == 1
        assert await refusal(sender, f"http://rebinding.example:{public.port}/") == ONE_TEXT
        assert (public.connections, inner.connections) == (1, 0)
    await sender.close()


@pytest.mark.parametrize("addresses", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], []])
async def test_one_inner_address_among_public_ones_is_too_many(addresses: list[str]) -> None:
    sender = Outbound(inner_networks=("127.0.0.1/32",), resolver=Changing(addresses))
    async with listening(OK, host="0.0.0.0") as listener:  # noqa: S104 - whoever gets through must be seen
        assert await refusal(sender, f"http://mixed.example:{listener.port}/") == ONE_TEXT
        assert listener.connections == 0
    await sender.close()


async def test_a_server_on_one_of_its_hosts_addresses_is_found() -> None:
    sender = Outbound(inner_networks=LOOPBACK, resolver=Changing(["127.0.0.2", "127.0.0.1"]))
    async with listening(OK) as listener:
        answer = await sender.get(f"http://two.example:{listener.port}/", accept="text/plain")
        assert answer.status == 200
    await sender.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(lenient: Outbound, status: int) -> None:
    # Attack P3.
    async with listening(OK) as inner:
        location = f"http://127.0.0.1:{inner.port}/".encode()
        moved = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location)
        async with listening(moved) as outer:
            answer = await lenient.post(f"http://127.0.0.1:{outer.port}/", body=b"x", headers={})
        assert answer.status == status
        assert inner.connections == 0


async def test_open_closed_and_silent_inner_places_look_alike(strict: Outbound) -> None:
    # Attack P6.
    async with listening(OK) as listener, listening(pause=60) as silent:
        texts, seconds = set[str](), []
        for url in (
            f"http://127.0.0.1:{listener.port}/",
            f"http://127.0.0.1:{silent.port}/",
            "http://127.0.0.1:1/",
            "http://10.255.255.1/",
        ):
            begun = time.monotonic()
            texts.add(await refusal(strict, url))
            seconds.append(time.monotonic() - begun)
        assert (listener.connections, silent.connections) == (0, 0)
    assert texts == {ONE_TEXT}
    assert max(seconds) < 1


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> float:
    """Have half a second instead of two and a half."""
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 0.5)
    return 0.5


def test_the_whole_of_a_request_takes_no_longer_than_this() -> None:
    assert outbound.TIMEOUT_SECONDS == 2.5


async def cut(sender: Outbound, listener: Listener, *, limit: float) -> None:
    begun = time.monotonic()
    assert await refusal(sender, f"http://127.0.0.1:{listener.port}/") == ONE_TEXT
    assert time.monotonic() - begun < limit + 1


async def test_a_server_that_never_answers_is_left(lenient: Outbound, hurried: float) -> None:
    async with listening(b"", pause=60) as listener:
        await cut(lenient, listener, limit=hurried)


async def test_a_header_that_trickles_is_cut(lenient: Outbound, hurried: float) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", b"X: y\r\n", pause=0.3, repeat=9) as listener:
        await cut(lenient, listener, limit=hurried)


async def test_a_body_that_trickles_is_cut(lenient: Outbound, hurried: float) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
    async with listening(start, *[b"x"] * 60, pause=0.05) as listener:
        await cut(lenient, listener, limit=hurried)


async def test_an_endless_answer_is_cut(lenient: Outbound) -> None:
    start = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    async with listening(start, *[b"x" * 65_536] * 200) as listener:
        await cut(lenient, listener, limit=0)


async def test_a_header_without_end_is_cut(lenient: Outbound) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 60_000 + b"\r\n"] * 40) as listener:
        await cut(lenient, listener, limit=0)


async def test_an_answer_of_the_longest_length_is_taken(lenient: Outbound) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_ANSWER_BYTES
    async with listening(start, b"x" * MAX_ANSWER_BYTES) as listener:
        answer = await lenient.get(f"http://127.0.0.1:{listener.port}/", accept="*/*")
    assert len(answer.body) == MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    "answer", [b"", b"no http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_what_is_no_whole_answer_is_none(lenient: Outbound, answer: bytes) -> None:
    async with listening(answer) as listener:
        assert await refusal(lenient, f"http://127.0.0.1:{listener.port}/") == ONE_TEXT


async def test_a_body_is_delivered_with_its_length_and_no_proxy_is_asked(
    lenient: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(OK) as listener, listening(OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        await lenient.post(
            f"http://localhost:{listener.port}/logout?a=b",
            body=b"logout_token=x",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert proxy.connections == 0
    head, _, body = listener.received[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /logout?a=b HTTP/1.1"
    assert b"Host: localhost:%d" % listener.port in lines
    assert b"Content-Length: 14" in lines
    assert b"Content-Type: application/x-www-form-urlencoded" in lines
    assert body == b"logout_token=x"


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        # Not the frozen clock's: OpenSSL looks at the machine's.
        .not_valid_before(NOON - timedelta(days=7300))
        .not_valid_after(NOON + timedelta(days=7300))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def test_a_server_whose_certificate_nobody_vouches_for_is_none(
    lenient: Outbound, self_signed: ssl.SSLContext
) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self_signed)
    try:
        port = server.sockets[0].getsockname()[1]
        assert await refusal(lenient, f"https://localhost:{port}/") == ONE_TEXT
        assert seen == []
    finally:
        server.close()
