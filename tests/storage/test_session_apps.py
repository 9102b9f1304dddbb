from datetime import timedelta

from idp.storage import browser_sessions, clients, grants, outbox, session_apps, sign_outs
from idp.storage.database import Database, Transaction
from idp.storage.sign_outs import SignOut
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER
from tests.support.frozen_clock import NOON

BACK = "https://app.example/back"


async def _arrange(tx: Transaction) -> None:
    await rows.insert_account(tx)
    await clients.insert(
        tx,
        client_id="told",
        metadata={"client_name": "Told", "backchannel_logout_uri": BACK},
        is_first_party=False,
        now=NOON,
    )
    await clients.insert(
        tx, client_id="mute", metadata={"client_name": "Mute"}, is_first_party=False, now=NOON
    )
    for number, (client_id, session_id) in enumerate(
        [("told", "one"), ("told", "one"), ("mute", "one"), ("told", "two"), ("gone", "one")]
    ):
        grant = rows.grant(id=bytes([number]), client_id=client_id, session_id=session_id)
        await grants.insert(tx, grant)


async def test_each_app_of_a_session_is_listed_once_with_what_it_was_told(database: Database) -> None:
    await database.transact(_arrange)
    await database.transact(
        outbox.insert,
        message_id="m",
        kind=session_apps.LOGOUT_TOKEN,
        recipient="told",
        payload_encrypted=None,
        account_id=ACCOUNT,
        session_id="one",
        now=NOON,
    )

    waiting = await database.read(session_apps.of_sessions, session_ids=["one", "two"])
    await database.transact(outbox.finish, message_id="m", outcome="delivered", now=LATER)
    done = await database.read(session_apps.of_sessions, session_ids=["one"])

    assert [(app.session_id, app.client_id, app.client_name, app.message_id) for app in waiting] == [
        ("one", "mute", "Mute", None),
        ("one", "told", "Told", "m"),
        ("two", "told", "Told", None),
    ]
    assert [app.backchannel_logout_uri for app in waiting] == [None, BACK, BACK]
    assert [(app.client_id, app.told_at, app.outcome) for app in done] == [
        ("mute", None, None),
        ("told", LATER, "delivered"),
    ]
    assert await database.read(session_apps.of_sessions, session_ids=[]) == []


async def test_a_message_of_another_kind_or_session_tells_an_app_nothing(database: Database) -> None:
    await database.transact(_arrange)
    for message_id, kind, session_id in (("a", "webhook", "one"), ("b", "logout_token", "two")):
        await database.transact(
            outbox.insert,
            message_id=message_id,
            kind=kind,
            recipient="told",
            payload_encrypted=None,
            session_id=session_id,
            now=NOON,
        )
    listed = await database.read(session_apps.of_sessions, session_ids=["one"])
    assert [app.message_id for app in listed] == [None, None]


async def test_only_messages_of_the_kinds_that_are_asked_for_are_leased(database: Database) -> None:
    for kind in ("mail", "logout_token", "webhook"):
        await database.transact(
            outbox.insert, message_id=kind, kind=kind, recipient="a", payload_encrypted=None, now=NOON
        )
    leased = await database.transact(outbox.lease, kinds={"mail", "webhook"}, until=LATER, limit=9, now=NOON)
    assert sorted(message.id for message in leased) == ["mail", "webhook"]


def _sign_out(sign_out_id: str = "out") -> SignOut:
    return SignOut(
        id=sign_out_id,
        browser_sha256=b"browser",
        session_id="one",
        ended_session_ids=["one", "two"],
        client_id="told",
        return_uri="https://app.example/bye",
        returns_by_itself=True,
        created_at=NOON,
        expires_at=LATER,
    )


async def test_a_sign_out_is_known_to_its_browser_until_it_expires(database: Database) -> None:
    await database.transact(sign_outs.insert, _sign_out())

    async def find(browser: bytes, *, seconds: int = 0) -> SignOut | None:
        return await database.read(
            sign_outs.find,
            sign_out_id="out",
            browser_sha256=browser,
            now=LATER - timedelta(seconds=1) + timedelta(seconds=seconds),
        )

    assert await find(b"browser") == _sign_out()
    assert await find(b"other") is None
    assert await find(b"browser", seconds=1) is None


async def test_a_sign_out_is_shown_with_frames_once(database: Database) -> None:
    await database.transact(sign_outs.insert, _sign_out())
    shown = [await database.transact(sign_outs.show, sign_out_id="out", now=NOON) for _ in range(3)]
    assert shown == [True, False, False]


async def test_sign_outs_of_long_ago_are_pruned(database: Database) -> None:
    await database.transact(sign_outs.insert, _sign_out())
    assert await database.transact(sign_outs.prune, before=LATER, limit=9) == 0
    assert await database.transact(sign_outs.prune, before=LATER + timedelta(seconds=1), limit=9) == 1


async def test_all_sessions_of_an_account_end_at_once_and_are_named(database: Database) -> None:
    async def arrange(tx: Transaction) -> None:
        await rows.insert_account(tx)
        await rows.insert_account(tx, account_id="other")
        for session_id, account_id in (("a", ACCOUNT), ("b", ACCOUNT), ("c", ACCOUNT), ("d", "other")):
            await browser_sessions.insert(
                tx,
                rows.browser_session(id=session_id, cookie_sha256=session_id.encode(), account_id=account_id),
            )
        await browser_sessions.end(tx, session_id="a", account_id=ACCOUNT, now=NOON)

    await database.transact(arrange)
    assert await database.transact(browser_sessions.end_all, account_id=ACCOUNT, now=LATER) == ["b", "c"]
    assert await database.transact(browser_sessions.end_all, account_id=ACCOUNT, now=LATER) == []
    ended = await database.read(
        browser_sessions.ended_of_account, account_id=ACCOUNT, since=NOON - timedelta(days=1), limit=2
    )
    assert [session.id for session in ended] == ["b", "c"]
    assert (
        await database.read(browser_sessions.ended_of_account, account_id=ACCOUNT, since=LATER, limit=9) == []
    )


async def test_a_session_is_renewed_under_another_cookie_unless_it_is_over(database: Database) -> None:
    async def arrange(tx: Transaction) -> None:
        await rows.insert_account(tx)
        await browser_sessions.insert(tx, rows.browser_session())

    await database.transact(arrange)
    fresh = rows.browser_session(cookie_sha256=b"fresh", auth_time=LATER, created_at=LATER, amr=["pin"])

    renewed = await database.transact(browser_sessions.renew, fresh)
    assert renewed is not None
    assert (renewed.cookie_sha256, renewed.auth_time, renewed.amr) == (b"fresh", LATER, ["pin"])
    assert renewed.created_at == rows.browser_session().created_at
    assert await database.transact(browser_sessions.renew, rows.browser_session(account_id="other")) is None
    await database.transact(browser_sessions.end, session_id=fresh.id, account_id=ACCOUNT, now=LATER)
    assert await database.transact(browser_sessions.renew, fresh) is None
