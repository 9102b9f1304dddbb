import asyncio
import json
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from idp.notifications import delivery
from idp.notifications.delivery import Patience, deliver_due, pause_after
from idp.notifications.mail import OutgoingMail
from idp.notifications.mail_sender import MailSender
from idp.notifications.outbox import MailKind, enqueue_mail
from idp.notifications.transport import MailDelayed, MailTransport, SmtpServer, SmtpTransport
from idp.storage import audit_log
from idp.storage.database import Database, Transaction
from tests.notifications.mails import LINK, LabelSealer, open_renderer
from tests.notifications.smtp_sink import SmtpSink, smtp_sink
from tests.support.frozen_clock import FrozenClock

SEALER = LabelSealer()
HOURS_24 = timedelta(hours=24)
PATIENCE = Patience(
    first_pause=timedelta(seconds=30), longest_pause=timedelta(hours=1), give_up_after=HOURS_24
)


async def _enqueue(
    database: Database,
    *,
    now: datetime,
    recipient: str = "ada@example.com",
    kind: MailKind = "verify_email",
    link: str = LINK,
) -> str:
    values: dict[str, str | int] = {"link": link, "valid_hours": 24} if kind == "verify_email" else {}
    return await database.transact(
        enqueue_mail, kind, recipient=recipient, values=values, sealer=SEALER, now=now
    )


async def _deliver(database: Database, transport: MailTransport, *, now: datetime, limit: int = 10) -> int:
    sender = MailSender(transport=transport, sealer=SEALER, renderer=open_renderer())
    return await deliver_due(database, sender=sender, now=now, limit=limit)


def _to(sink: SmtpSink) -> SmtpTransport:
    server = SmtpServer(host="127.0.0.1", port=sink.port, is_tls_from_the_start=False)
    return SmtpTransport(server, local_hostname="id.example.com")


async def _row(tx: Transaction) -> tuple[int, bool, str | None]:
    result = await tx.execute(sa.text("SELECT attempts, done_at IS NOT NULL, outcome FROM outbox"))
    attempts, is_done, outcome = result.one()
    return attempts, bool(is_done), outcome


async def _events(database: Database) -> list[tuple[str, str | None]]:
    rows = await database.read(audit_log.after, row_id=0, limit=100)
    return [(row.event, row.reason) for row in rows]


class _Failing(Exception):  # noqa: N818 - it is thrown to roll back, and no error
    pass


async def _change_and_fail(tx: Transaction, *, now: datetime) -> None:
    await enqueue_mail(tx, "address_in_use", recipient="a@x.com", values={}, sealer=SEALER, now=now)
    raise _Failing


async def test_a_mail_is_delivered_once(database: Database, clock: FrozenClock) -> None:
    message_id = await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        assert await _deliver(database, _to(sink), now=clock()) == 1
        assert await _deliver(database, _to(sink), now=clock.advance(HOURS_24)) == 0
    (mail,) = sink.mails
    assert mail["Message-ID"] == f"<{message_id}@id.example.com>"
    assert await database.read(_row) == (1, True, "delivered")


async def test_a_change_that_is_rolled_back_sends_nothing(database: Database, clock: FrozenClock) -> None:
    with pytest.raises(_Failing):
        await database.transact(_change_and_fail, now=clock())
    async with smtp_sink() as sink:
        assert await _deliver(database, _to(sink), now=clock()) == 0


async def test_what_waits_is_sealed_for_its_own_row(database: Database, clock: FrozenClock) -> None:
    message_id = await _enqueue(database, now=clock())

    async def payload(tx: Transaction) -> bytes:
        result = await tx.execute(sa.text("SELECT payload_encrypted FROM outbox"))
        return bytes(result.scalar_one())

    sealed = await database.read(payload)
    assert LINK.encode() not in sealed
    opened = SEALER.decrypt(sealed, context=f"outbox:{message_id}")
    assert json.loads(opened) == {"link": LINK, "valid_hours": 24}


@pytest.mark.parametrize("values", [{}, {"link": LINK}, {"link": LINK, "valid_hours": 24, "x": 1}])
async def test_a_mail_without_exactly_its_values_is_refused_when_written(
    database: Database, clock: FrozenClock, values: dict[str, str | int]
) -> None:
    with pytest.raises(ValueError, match="needs exactly"):
        await database.transact(
            enqueue_mail, "verify_email", recipient="a@x.com", values=values, sealer=SEALER, now=clock()
        )


async def test_a_server_that_is_down_loses_no_mail(database: Database, clock: FrozenClock) -> None:
    # Attack FF1.
    await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        transport = _to(sink)
    await _deliver(database, transport, now=clock())
    attempts, is_done, outcome = await database.read(_row)
    assert (attempts, is_done) == (1, False)
    assert (outcome or "").startswith("delayed: ")
    async with smtp_sink() as sink:
        assert await _deliver(database, _to(sink), now=clock.advance(20)) == 0
        assert await _deliver(database, _to(sink), now=clock.advance(20)) == 1
    assert len(sink.mails) == 1


@pytest.mark.parametrize("answers", ["rcpt_answers", "data_answers"])
async def test_a_451_is_tried_again_as_the_same_mail(
    database: Database, clock: FrozenClock, answers: str
) -> None:
    await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        getattr(sink, answers).append("451 Come back later")
        await _deliver(database, _to(sink), now=clock())
        assert await database.read(_row) == (1, False, "delayed: 451 Come back later")
        await _deliver(database, _to(sink), now=clock.advance(60))
    assert len(sink.mails) == 1
    assert await database.read(_row) == (2, True, "delivered")
    assert await _events(database) == []


@pytest.mark.parametrize("answers", ["rcpt_answers", "data_answers"])
async def test_a_550_gives_up_with_an_event(database: Database, clock: FrozenClock, answers: str) -> None:
    await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        getattr(sink, answers).append("550 No such mailbox")
        await _deliver(database, _to(sink), now=clock())
        assert await _deliver(database, _to(sink), now=clock.advance(HOURS_24)) == 0
    assert sink.mails == []
    assert await database.read(_row) == (1, True, "refused: 550 No such mailbox")
    assert await _events(database) == [("mail_given_up", "refused")]


async def test_after_a_day_of_failures_the_mail_is_given_up_with_an_event(
    database: Database, clock: FrozenClock
) -> None:
    await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        transport = _to(sink)
    tried = 0
    for _ in range(24 * 60 + 60):
        tried += await _deliver(database, transport, now=clock.advance(60))
    # 30 s, 1, 2, 4 … minutes up to an hour each, for a day.
    assert 24 <= tried <= 38
    attempts, is_done, outcome = await database.read(_row)
    assert (attempts, is_done) == (tried, True)
    assert (outcome or "").startswith("delayed: ")
    assert await _events(database) == [("mail_given_up", "expired")]


async def test_a_mail_that_waited_for_days_is_tried_once(database: Database, clock: FrozenClock) -> None:
    await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        await _deliver(database, _to(sink), now=clock.advance(3 * HOURS_24))
    assert len(sink.mails) == 1


async def test_an_address_list_reaches_nobody(database: Database, clock: FrozenClock) -> None:
    # Attack M11.
    await _enqueue(database, now=clock(), recipient="ada@example.com,eve@evil.example")
    async with smtp_sink() as sink:
        await _deliver(database, _to(sink), now=clock())
    assert sink.attempts == 0
    assert (await database.read(_row))[1:] == (True, "refused: recipient is not one plain address")


async def test_a_link_elsewhere_is_never_sent(database: Database, clock: FrozenClock) -> None:
    await _enqueue(database, now=clock(), link="https://evil.example/")
    async with smtp_sink() as sink:
        await _deliver(database, _to(sink), now=clock())
    assert sink.attempts == 0
    assert (await database.read(_row))[1] is True


async def test_a_mail_sealed_elsewhere_waits(database: Database, clock: FrozenClock) -> None:
    await _enqueue(database, now=clock())

    async def move(tx: Transaction) -> None:
        await tx.execute(sa.text("UPDATE outbox SET id = 'moved'"))

    await database.transact(move)
    async with smtp_sink() as sink:
        await _deliver(database, _to(sink), now=clock())
    assert sink.attempts == 0
    assert await database.read(_row) == (1, False, "delayed: ValueError: sealed elsewhere")


async def test_one_bad_mail_does_not_hold_up_the_others(database: Database, clock: FrozenClock) -> None:
    await _enqueue(database, now=clock(), recipient="not an address")
    for number in range(3):
        await _enqueue(database, now=clock(), recipient=f"ada{number}@example.com")
    async with smtp_sink() as sink:
        assert await _deliver(database, _to(sink), now=clock()) == 4
    assert sorted(sink.recipients) == [["ada0@example.com"], ["ada1@example.com"], ["ada2@example.com"]]


async def test_no_more_than_the_limit_is_taken(database: Database, clock: FrozenClock) -> None:
    for number in range(5):
        await _enqueue(database, now=clock(), recipient=f"ada{number}@example.com")
    async with smtp_sink() as sink:
        assert [await _deliver(database, _to(sink), now=clock(), limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(sink.mails) == 5


async def test_two_nodes_at_once_send_each_mail_once(database: Database, clock: FrozenClock) -> None:
    for number in range(12):
        await _enqueue(database, now=clock(), recipient=f"ada{number}@example.com")
    async with smtp_sink() as sink:
        sink.data_pause_seconds = 0.05
        taken = await asyncio.gather(*(_deliver(database, _to(sink), now=clock(), limit=6) for _ in range(4)))
    assert sum(taken) == 12
    assert sorted(sink.recipients) == sorted([f"ada{number}@example.com"] for number in range(12))


async def test_a_node_that_dies_while_sending_leaves_the_mail_to_another(
    database: Database, clock: FrozenClock
) -> None:
    # Attack FA12: at least once, and the second time as the same mail.
    await _enqueue(database, now=clock())
    async with smtp_sink() as sink:
        sink.data_pause_seconds = 10
        dying = asyncio.create_task(_deliver(database, _to(sink), now=clock()))
        await sink.has_content.wait()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        sink.data_pause_seconds = 0
        assert await _deliver(database, _to(sink), now=clock.advance(59)) == 0
        assert await _deliver(database, _to(sink), now=clock.advance(1)) == 1
    assert len(sink.mails) == 1


class _Remembering:
    """Writes down the bytes, and then fails as a connection cut after DATA does."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, mail: OutgoingMail) -> None:
        self.sent.append(mail.message.as_bytes())
        if len(self.sent) == 1:
            raise MailDelayed("cut after DATA")


async def test_a_mail_sent_again_is_the_same_to_the_byte(database: Database, clock: FrozenClock) -> None:
    # Attack FF2.
    await _enqueue(database, now=clock())
    transport = _Remembering()
    await _deliver(database, transport, now=clock())
    await _deliver(database, transport, now=clock.advance(60))
    first, second = transport.sent
    assert first == second


class _Overtaken:
    """Is so slow that another node has leased and tried the mail meanwhile."""

    def __init__(self, database: Database, *, later: datetime) -> None:
        self._database = database
        self._later = later

    async def send(self, mail: OutgoingMail) -> None:
        assert await _deliver(self._database, _Remembering(), now=self._later) == 1
        raise MailDelayed("late")


async def test_a_node_that_was_overtaken_does_not_shorten_the_others_pause(
    database: Database, clock: FrozenClock
) -> None:
    await _enqueue(database, now=clock())
    later = clock() + timedelta(seconds=61)
    await _deliver(database, _Overtaken(database, later=later), now=clock())
    assert await database.read(_row) == (2, False, "delayed: cut after DATA")


class _Hanging:
    async def send(self, _mail: OutgoingMail) -> None:
        await asyncio.sleep(3600)


async def test_a_server_that_hangs_is_left_in_time(
    database: Database, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SEND_TIMEOUT", timedelta(seconds=0.05))
    await _enqueue(database, now=clock())
    await _deliver(database, _Hanging(), now=clock())
    assert await database.read(_row) == (1, False, "delayed: the other side took too long")


def test_the_lease_outlasts_the_slowest_sending() -> None:
    assert timedelta(seconds=30) == delivery.SEND_TIMEOUT
    assert timedelta(seconds=60) == delivery.LEASE


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [pause_after(attempts, patience=PATIENCE, jitter=0.5) for attempts in range(1, 10)]
    minutes = [pause.total_seconds() / 60 for pause in pauses]
    assert minutes == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


@given(attempts=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_pauses_are_spread_and_bounded(attempts: int, jitter: float) -> None:
    assert (
        timedelta(seconds=22.5)
        <= pause_after(attempts, patience=PATIENCE, jitter=jitter)
        <= timedelta(minutes=75)
    )
