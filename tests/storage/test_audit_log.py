from dataclasses import replace

from idp.storage import audit_log
from idp.storage.audit_log import AuditRow
from idp.storage.database import Database
from tests.storage.rows import ACCOUNT, CLIENT
from tests.support.frozen_clock import NOON

_ROW = AuditRow(
    id=1,
    at=NOON,
    event="refresh_token_reuse",
    outcome="refused",
    reason="generation 1 of 3",
    actor="client",
    account_id=ACCOUNT,
    client_id=CLIENT,
    address="192.0.2.1",
    request_id="request",
    details={"grant_id": "g", "nested": {"n": 1}},
)


async def _insert(database: Database, row: AuditRow) -> None:
    await database.transact(
        audit_log.insert,
        at=row.at,
        event=row.event,
        outcome=row.outcome,
        reason=row.reason,
        actor=row.actor,
        account_id=row.account_id,
        client_id=row.client_id,
        address=row.address,
        request_id=row.request_id,
        details=row.details,
    )


async def test_an_event_is_read_as_written(database: Database) -> None:
    await _insert(database, _ROW)

    assert await database.read(audit_log.of_account, account_id=ACCOUNT, limit=10) == [_ROW]


async def test_an_accounts_newest_events_come_first(database: Database) -> None:
    for event in ("first", "second", "third"):
        await _insert(database, replace(_ROW, event=event))
    await _insert(database, replace(_ROW, account_id="other"))

    listed = await database.read(audit_log.of_account, account_id=ACCOUNT, limit=2)

    assert [row.event for row in listed] == ["third", "second"]


async def test_events_are_followed_from_a_row_on(database: Database) -> None:
    for event in ("first", "second", "third"):
        await _insert(database, replace(_ROW, event=event))

    followed = await database.read(audit_log.after, row_id=1, limit=10)

    assert [(row.id, row.event) for row in followed] == [(2, "second"), (3, "third")]
