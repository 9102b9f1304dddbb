import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from idp.accounts import account_passkeys, account_sessions, administration
from idp.clients import registration
from idp.clients.metadata import change_metadata
from idp.errors import InvalidRequest
from idp.keys.encryption import EncryptionAtRest
from idp.oauth.logout.front_channel import frame_address
from idp.sessions import browser_session
from idp.sessions.browser_session import Authentication, StartedSession
from idp.storage import accounts, audit_log, browser_sessions, credentials, outbox
from idp.storage.browser_sessions import BrowserSession
from idp.storage.credentials import Credential
from idp.storage.database import Database, Transaction
from tests.support.frozen_clock import FrozenClock
from tests.support.node import (
    ISSUER,
    MASTER_KEY,
    App,
    Claims,
    Node,
    Person,
    between,
    header_of,
    running_node,
)
from tests.support.relying_party import LOOPBACK, RelyingParty, deliver, look, press, received, verified

EVENTS: Claims = {"http://schemas.openid.net/event/backchannel-logout": {}}
FRONT = "https://app.example/frontchannel?tenant=1"
BYE = "https://app.example/bye"


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(sqlite_url, clock, tmp_path, outbound_networks=LOOPBACK) as running:
        yield running


@pytest.fixture
async def relying_party() -> AsyncIterator[RelyingParty]:
    opened = RelyingParty()
    await opened.start()
    yield opened
    await opened.kill()


@pytest.fixture
async def app(node: Node, relying_party: RelyingParty) -> App:
    return await node.app(backchannel_logout_uri=relying_party.address, post_logout_redirect_uris=[BYE])


async def sign_out(node: Node, person: Person) -> str:
    """Press "Sign out" on the account page; answer the address of the page that follows."""
    answer = await press(node, person, "/account/sign-out")
    assert answer.status_code == 303
    return str(answer.headers["location"])


async def session_of(node: Node, person: Person) -> BrowserSession:
    found = await node.provider.database.read(
        browser_sessions.live_of_account,
        account_id=person.account_id,
        idle_since=node.clock() - timedelta(days=1),
        now=node.clock(),
    )
    return next(session for session in found if session.id == person.session_id)


async def messages(database: Database) -> list[tuple[str, int, bool, str | None]]:
    async def read(tx: Transaction) -> list[tuple[str, int, bool, str | None]]:
        rows = await tx.execute(
            sa.text("SELECT recipient, attempts, done_at IS NOT NULL, outcome FROM outbox ORDER BY 1")
        )
        return [(row[0], row[1], bool(row[2]), row[3]) for row in rows]

    return await database.read(read)


# What an app is told.


async def test_an_app_gets_a_logout_token_that_another_library_verifies(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    # Attack I9.
    id_token = (await node.tokens(app, person))["id_token"]

    await sign_out(node, person)

    (claims,) = await received(node, relying_party, 1)
    (post,) = relying_party.posts
    assert post.content_type == "application/x-www-form-urlencoded"
    header = header_of(post.logout_token)
    assert header == {"alg": "RS256", "kid": header_of(id_token)["kid"], "typ": "logout+jwt"}
    now = int(node.clock().timestamp())
    jti = claims.pop("jti")
    assert len(jti) == 22
    assert claims == {
        "iss": ISSUER,
        "sub": person.account_id,
        "aud": app.id,
        "iat": now,
        "exp": now + 120,
        "events": EVENTS,
        "sid": person.session_id,
    }


async def test_a_logout_token_passes_for_no_other_token(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    await node.tokens(app, person)
    await sign_out(node, person)
    await received(node, relying_party, 1)
    token = relying_party.posts[0].logout_token
    await node.sign_in(person)

    hinted = await look(node, person, f"/logout?id_token_hint={token}")

    assert "Sign out of" in hinted.text
    assert (await look(node, person, "/account")).status_code == 200
    assert (await node.userinfo(token)).status_code == 401


async def test_an_app_with_two_grants_of_a_session_gets_one_token(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    for _ in range(3):
        await node.tokens(app, person)
    await sign_out(node, person)
    await received(node, relying_party, 1)
    await deliver(node)
    assert [message[0] for message in await messages(node.provider.database)] == [app.id]


@pytest.mark.usefixtures("app")
async def test_an_app_that_was_not_used_is_not_told(
    node: Node, person: Person, relying_party: RelyingParty
) -> None:
    other = await node.app(client_name="Other", backchannel_logout_uri=relying_party.address)
    await node.tokens(other, person)
    await sign_out(node, person)
    await received(node, relying_party, 1)
    assert [message[0] for message in await messages(node.provider.database)] == [other.id]


# Every way of ending a session.


async def _disable(node: Node, person: Person) -> None:
    await node.provider.database.transact(
        administration.disable, account_id=person.account_id, now=node.clock()
    )


async def _delete(node: Node, person: Person) -> None:
    await node.provider.database.transact(
        administration.delete, account_id=person.account_id, now=node.clock()
    )


async def _command(node: Node, person: Person) -> None:
    await node.provider.database.transact(
        account_sessions.end_everything, account_id=person.account_id, now=node.clock(), actor="cli"
    )


async def _sign_out(node: Node, person: Person) -> None:
    await sign_out(node, person)


async def _sign_out_everywhere(node: Node, person: Person) -> None:
    await press(node, person, "/account/sessions/end-all")


async def _another_session(node: Node, person: Person) -> None:
    other = Person(account_id=person.account_id, email=person.email)
    await node.sign_in(other)
    answer = await press(node, other, "/account/sessions/end", session_id=person.session_id)
    assert answer.headers["location"].startswith("/account")


async def _own_session_by_its_id(node: Node, person: Person) -> None:
    answer = await press(node, person, "/account/sessions/end", session_id=person.session_id)
    assert answer.headers["location"].startswith("/signed-out?of=")


async def _another_person(node: Node, person: Person) -> None:
    eve = await node.person("eve@example.com")
    await node.provider.database.transact(
        _start,
        account_id=eve.account_id,
        previous=await session_of(node, person),
        node=node,
        now=node.clock(),
    )


async def _removed_passkey(node: Node, person: Person) -> None:
    """Remove, from another browser, the passkey that opened the session."""
    now = node.clock()
    session = await session_of(node, person)

    async def change(tx: Transaction) -> None:
        for number in (1, 2):
            await credentials.insert(tx, _passkey(person.account_id, number, now=now))
        await tx.execute(
            sa.text("UPDATE browser_sessions SET credential_id = :id WHERE id = :session"),
            {"id": b"passkey-1", "session": session.id},
        )
        here = await _start(tx, account_id=person.account_id, previous=None, node=node, now=now)
        asked = await account_passkeys.ask_to_remove(
            tx, credential_id=b"passkey-1", session=here.session, now=now
        )
        assert isinstance(asked, account_passkeys.Asked)
        # The ceremony is tests/passkeys' matter; here it counts as done.
        await tx.execute(sa.text("UPDATE confirmations SET confirmed_at = expires_at"))
        removal = await account_passkeys.remove_confirmed(
            tx,
            operation_id=asked.operation_id,
            session=here.session,
            idle_since=now - timedelta(hours=1),
            sealer=EncryptionAtRest(MASTER_KEY),
            now=now,
        )
        assert removal is account_passkeys.Change.DONE

    await node.provider.database.transact(change)


@pytest.mark.parametrize(
    "end",
    [
        _sign_out,
        _sign_out_everywhere,
        _own_session_by_its_id,
        _another_session,
        _another_person,
        _removed_passkey,
        _command,
        _disable,
        _delete,
    ],
)
async def test_however_a_session_ends_its_app_is_told_once(
    node: Node,
    app: App,
    person: Person,
    relying_party: RelyingParty,
    end: Callable[[Node, Person], Awaitable[None]],
) -> None:
    await node.tokens(app, person)

    await end(node, person)

    (claims,) = await received(node, relying_party, 1)
    assert (claims["sub"], claims["sid"]) == (person.account_id, person.session_id)
    # The person may be told too, by mail.
    recipients = [message[0] for message in await messages(node.provider.database)]
    assert recipients.count(app.id) == 1


async def test_a_reused_refresh_token_tells_the_apps_of_every_session(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    first = await node.tokens(app, person)
    elsewhere = Person(account_id=person.account_id, email=person.email)
    await node.sign_in(elsewhere)
    await node.tokens(app, elsewhere)
    await node.refresh(app, first["refresh_token"])
    node.clock.advance(60)
    assert (await node.refresh(app, first["refresh_token"])).json()["error"] == "invalid_grant"

    claims = await received(node, relying_party, 2)

    assert {claim["sid"] for claim in claims} == {person.session_id, elsewhere.session_id}
    assert len({claim["jti"] for claim in claims}) == 2


async def test_a_relying_partys_sign_out_tells_the_others_too(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    other_party = RelyingParty()
    await other_party.start()
    other = await node.app(client_name="Other", backchannel_logout_uri=other_party.address)
    await node.tokens(other, person)
    hint = (await node.tokens(app, person))["id_token"]

    answer = await look(node, person, f"/logout?id_token_hint={hint}&post_logout_redirect_uri={BYE}&state=s")

    assert (answer.status_code, answer.headers["location"]) == (303, f"{BYE}?state=s")
    await received(node, relying_party, 1)
    await received(node, other_party, 1)
    await other_party.kill()


async def test_two_sign_outs_at_once_tell_an_app_once(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    await node.tokens(app, person)
    session = await session_of(node, person)
    ended = await asyncio.gather(
        *(node.provider.database.transact(browser_session.end, session, now=node.clock()) for _ in range(8))
    )
    assert sorted(ended) == [False] * 7 + [True]
    await received(node, relying_party, 1)
    assert len(await messages(node.provider.database)) == 1


async def test_a_sign_out_that_is_rolled_back_tells_nobody(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    await node.tokens(app, person)
    session = await session_of(node, person)

    async def end_and_fail(tx: Transaction) -> None:
        await browser_session.end(tx, session, now=node.clock())
        raise InvalidRequest("rolled back")

    with pytest.raises(InvalidRequest):
        await node.provider.database.transact(end_and_fail)
    assert await deliver(node) == 0
    assert await messages(node.provider.database) == []
    assert relying_party.posts == []


async def test_proving_oneself_again_keeps_the_session_and_tells_nobody(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    before = dict(person.cookies)
    previous = await session_of(node, person)
    later = node.clock.advance(30)

    started = await node.provider.database.transact(
        _start, account_id=person.account_id, previous=previous, node=node, now=later
    )

    assert started.session.id == previous.id
    assert started.session.auth_time == later.replace(microsecond=0)
    assert started.session.created_at == previous.created_at
    assert await messages(node.provider.database) == []
    assert (await node.userinfo(tokens["access_token"])).status_code == 200
    # ASVS 7.2.4: the cookie from before is worth nothing.
    person.cookies = before
    assert (await look(node, person, "/account")).status_code == 303
    person.cookies = before | {"__Host-idp-session": started.cookie_token}
    assert (await look(node, person, "/account")).status_code == 200


async def test_a_session_that_ended_meanwhile_is_not_brought_back(node: Node, person: Person) -> None:
    previous = await session_of(node, person)
    await node.provider.database.transact(browser_session.end, previous, now=node.clock())
    started = await node.provider.database.transact(
        _start, account_id=person.account_id, previous=previous, node=node, now=node.clock()
    )
    assert started.session.id != previous.id


# Relying parties in trouble.


async def test_a_killed_relying_party_gets_exactly_one_logout_token_when_it_is_back(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    await node.tokens(app, person)
    await relying_party.kill()

    page = await sign_out(node, person)
    await deliver(node)
    shown = await look(node, person, page)
    assert "Being told" in shown.text
    assert f'<meta http-equiv="refresh" content="3; url={page}">' in shown.text
    for _ in range(4):
        node.clock.advance(60)
        await deliver(node)
    assert "Being told" in (await look(node, person, page)).text

    await relying_party.start()
    node.clock.advance(120)
    await received(node, relying_party, 1)
    await _settled(node, outcome="delivered")
    shown = await look(node, person, page)
    assert "Being told" not in shown.text
    assert "Signed out</span>" in between(shown.text, "<bdi>Demo App</bdi>", "</li>")
    assert 'http-equiv="refresh"' not in shown.text
    node.clock.advance(86_400)
    # The node's own job has its turn as well.
    await asyncio.sleep(1.2)
    assert await deliver(node) == 0
    assert len(relying_party.posts) == 1


async def test_a_slow_relying_party_delays_no_sign_out(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    # Attack I9: the app is told after the answer.
    relying_party.pause_seconds = 30
    await node.tokens(app, person)
    begun = time.monotonic()
    page = await sign_out(node, person)
    shown = await look(node, person, page)
    assert time.monotonic() - begun < 2
    assert "Being told" in shown.text


async def test_a_token_that_is_sent_again_is_fresh_and_has_its_old_name(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    relying_party.statuses = [500]
    await node.tokens(app, person)
    await sign_out(node, person)
    await received(node, relying_party, 1)
    await _settled(node, attempts=1, outcome="delayed: 500")
    node.clock.advance(3600)
    first, second = await received(node, relying_party, 2)
    assert first["jti"] == second["jti"]
    assert second["iat"] == first["iat"] + 3600
    assert second["exp"] == second["iat"] + 120


@pytest.mark.parametrize("status", [200, 204])
async def test_these_answers_confirm(
    node: Node, app: App, person: Person, relying_party: RelyingParty, status: int
) -> None:
    relying_party.statuses = [status]
    await node.tokens(app, person)
    await sign_out(node, person)
    await received(node, relying_party, 1)
    await _settled(node, attempts=1, outcome="delivered")


@pytest.mark.parametrize("status", [201, 302, 307, 401, 404, 429, 500, 503])
async def test_these_answers_do_not_and_it_is_tried_again(
    node: Node, app: App, person: Person, relying_party: RelyingParty, status: int
) -> None:
    relying_party.statuses = [status]
    await node.tokens(app, person)
    await sign_out(node, person)
    await received(node, relying_party, 1)
    await _settled(node, attempts=1, outcome=f"delayed: {status}")
    assert (await messages(node.provider.database))[0][2] is False


async def test_an_app_that_says_bad_request_five_times_is_given_up(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    relying_party.statuses = [400] * 9
    await node.tokens(app, person)
    page = await sign_out(node, person)
    for attempt in range(1, 6):
        await received(node, relying_party, attempt)
        await _settled(node, attempts=attempt, outcome="refused: 400" if attempt == 5 else "delayed: 400")
        node.clock.advance(120)
    assert await deliver(node) == 0
    assert await messages(node.provider.database) == [(app.id, 5, True, "refused: 400")]
    events = await node.provider.database.read(audit_log.after, row_id=0, limit=100)
    given_up = next(row for row in events if row.event == "logout_token_given_up")
    assert (given_up.account_id, given_up.client_id) == (person.account_id, app.id)
    assert "Not reached" in (await look(node, person, page)).text


async def test_an_app_that_stays_away_is_given_up_after_a_day(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    await node.tokens(app, person)
    await relying_party.kill()
    await sign_out(node, person)
    begun = node.clock()
    while (await messages(node.provider.database))[0][2] is False:
        await deliver(node)
        node.clock.advance(600)
        assert node.clock() - begun < timedelta(hours=25)
    assert node.clock() - begun > timedelta(hours=23)
    (message,) = await messages(node.provider.database)
    assert message[3] == "delayed: the address could not be reached"


async def test_an_app_that_took_its_address_back_is_not_told(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    await relying_party.kill()
    await node.tokens(app, person)
    await sign_out(node, person)
    await deliver(node)
    await relying_party.start()
    await node.provider.database.transact(
        registration.update,
        client_id=app.id,
        metadata=change_metadata(app.client.metadata, {"backchannel_logout_uri": None}),
        is_first_party=False,
        seen_version=app.client.version,
        now=node.clock(),
    )
    node.clock.advance(600)
    await deliver(node)
    await _settled(node, attempts=2, outcome="refused: the client has no back-channel address any more")
    assert relying_party.posts == []


async def test_an_app_in_our_own_network_is_not_told(
    sqlite_url: str, clock: FrozenClock, tmp_path: Path, relying_party: RelyingParty
) -> None:
    # Attack P1, through the door that a client's registration opens.
    async with running_node(sqlite_url, clock, tmp_path) as strict:
        app = await strict.app(backchannel_logout_uri=relying_party.address)
        person = await strict.person()
        await strict.tokens(app, person)
        await sign_out(strict, person)
        await _settled(strict, attempts=1, outcome="delayed: the address could not be reached")
    assert relying_party.posts == []


async def test_many_senders_at_once_send_each_token_once(
    node: Node, app: App, relying_party: RelyingParty
) -> None:
    relying_party.pause_seconds = 0.05
    people = [await node.person(f"p{number}@example.com") for number in range(6)]
    for person in people:
        await node.tokens(app, person)
        await sign_out(node, person)
    async with asyncio.timeout(10):
        while any(not message[2] for message in await messages(node.provider.database)):
            await asyncio.gather(*(deliver(node, limit=2) for _ in range(4)))
            await asyncio.sleep(0.02)
    tokens = [await verified(node, post.logout_token) for post in relying_party.posts]
    assert sorted(token["sid"] for token in tokens) == sorted(person.session_id for person in people)


async def test_old_messages_to_a_dead_app_wait_behind_new_ones(node: Node) -> None:
    database, now = node.provider.database, node.clock()

    async def arrange(tx: Transaction) -> None:
        for number in range(5):
            await outbox.insert(
                tx, message_id=f"{number}", kind="old", recipient="dead", payload_encrypted=None, now=now
            )

    await database.transact(arrange)
    await database.transact(outbox.lease, kinds={"old"}, until=now, limit=5, now=now)
    await database.transact(
        outbox.insert,
        message_id="new",
        kind="old",
        recipient="alive",
        payload_encrypted=None,
        now=node.clock.advance(1),
    )
    leased = await database.transact(
        outbox.lease, kinds={"old"}, until=now + timedelta(minutes=1), limit=1, now=node.clock()
    )
    assert [message.id for message in leased] == ["new"]


# What the person sees.


async def test_the_pages_say_of_each_app_how_far_it_was_told(
    node: Node, app: App, person: Person, relying_party: RelyingParty
) -> None:
    dead = RelyingParty()
    await dead.start()
    await dead.kill()
    apps = [
        app,
        await node.app(client_name="Pending App", backchannel_logout_uri=dead.address),
        await node.app(client_name="Mute App"),
    ]
    for one in apps:
        await node.tokens(one, person)
    page = await sign_out(node, person)
    await received(node, relying_party, 1)
    await _settled(node, outcome="delivered", recipient=app.id)
    shown = await look(node, person, page)

    await node.sign_in(person)
    account = await look(node, person, "/account")

    for text in (shown.text, between(account.text, "Signed out lately", "Sign out everywhere")):
        assert "Signed out</span>" in between(text, "<bdi>Demo App</bdi>", "</li>")
        assert "Being told</span>" in between(text, "<bdi>Pending App</bdi>", "</li>")
        assert "Can't be told: sign out there, too" in between(text, "<bdi>Mute App</bdi>", "</li>")


async def test_signing_out_everywhere_shows_the_apps_of_all_sessions(
    node: Node, app: App, person: Person
) -> None:
    elsewhere = Person(account_id=person.account_id, email=person.email)
    await node.sign_in(elsewhere)
    other = await node.app(client_name="Elsewhere App")
    await node.tokens(app, person)
    await node.tokens(other, elsewhere)
    answer = await press(node, person, "/account/sessions/end-all")
    shown = await look(node, person, answer.headers["location"])
    assert "Demo App" in shown.text
    assert "Elsewhere App" in shown.text


async def test_the_page_after_signing_out_opens_in_this_browser_alone_and_for_an_hour(
    node: Node, app: App, person: Person
) -> None:
    await node.tokens(app, person)
    page = await sign_out(node, person)
    assert "Demo App" in (await look(node, person, page)).text

    stranger = await node.http.get(page)
    unknown = await look(node, person, "/signed-out?of=" + "A" * 22)
    node.clock.advance(3600)
    late = await look(node, person, page)

    for response in (stranger, unknown, late):
        assert response.status_code == 200
        assert "You are signed out" in response.text
        assert "Demo App" not in response.text


async def test_whoever_used_no_app_reads_a_plain_page(node: Node, person: Person) -> None:
    assert await sign_out(node, person) == "/signed-out"
    assert "You are signed out" in (await look(node, person, "/signed-out")).text


# The front channel.


@pytest.fixture
async def framed(node: Node) -> App:
    return await node.app(frontchannel_logout_uri=FRONT, post_logout_redirect_uris=[BYE])


async def test_a_browser_tells_apps_by_frames_once_and_goes_on_to_the_app_that_asked(
    node: Node, framed: App, person: Person
) -> None:
    hint = (await node.tokens(framed, person))["id_token"]
    address = f"/logout?id_token_hint={hint}&post_logout_redirect_uri={BYE}&state=s%261"

    answer = await look(node, person, address)
    page = answer.headers["location"]
    frames = await look(node, person, page)
    again = await look(node, person, page)

    assert page.startswith("/signed-out?of=")
    source = f"{FRONT}&amp;iss=https%3A%2F%2Fid.example&amp;sid={person.session_id}"
    assert f'src="{source}"' in frames.text
    assert f'href="{BYE}?state=s%261"' in frames.text
    assert "frame-src https://app.example;" in frames.headers["content-security-policy"]
    assert (again.status_code, again.headers["location"]) == (303, f"{BYE}?state=s%261")


async def test_without_a_way_back_the_frames_lead_to_the_page_that_says_how_it_went(
    node: Node, framed: App, person: Person
) -> None:
    await node.tokens(framed, person)
    page = await sign_out(node, person)
    frames = await look(node, person, page)
    again = await look(node, person, page)
    assert f'href="{page}"' in frames.text
    assert "<iframe" not in again.text
    assert "frame-src 'none'" in again.headers["content-security-policy"]
    assert "Asked by this browser" in between(again.text, "<bdi>Demo App</bdi>", "</li>")


async def test_only_the_browsers_own_session_is_told_by_its_frames(
    node: Node, framed: App, person: Person
) -> None:
    elsewhere = Person(account_id=person.account_id, email=person.email)
    await node.sign_in(elsewhere)
    await node.tokens(framed, elsewhere)
    answer = await press(node, person, "/account/sessions/end-all")
    shown = await look(node, person, answer.headers["location"])
    assert "<iframe" not in shown.text
    assert "Can't be told" in between(shown.text, "<bdi>Demo App</bdi>", "</li>")


def test_iss_and_sid_join_the_query_that_an_app_registered() -> None:
    assert frame_address("https://a.example/x", issuer=ISSUER, session_id="s") == (
        "https://a.example/x?iss=https%3A%2F%2Fid.example&sid=s"
    )
    assert frame_address("https://a.example/x?y=1", issuer=ISSUER, session_id="s") == (
        "https://a.example/x?y=1&iss=https%3A%2F%2Fid.example&sid=s"
    )


async def _settled(
    node: Node, *, outcome: str, attempts: int | None = None, recipient: str | None = None
) -> None:
    """Wait until a message's last answer is written down, which is a moment after it was sent."""
    async with asyncio.timeout(10):
        while True:
            for to, tried, _, written in await messages(node.provider.database):
                if written == outcome and attempts in {None, tried} and recipient in {None, to}:
                    return
            await asyncio.sleep(0.02)


async def _start(
    tx: Transaction, *, account_id: str, previous: BrowserSession | None, node: Node, now: datetime
) -> StartedSession:
    account = await accounts.find(tx, account_id=account_id)
    assert account is not None
    return await browser_session.start(
        tx,
        Authentication(
            account_id=account_id,
            account_epoch=account.token_epoch,
            credential_id=None,
            amr=("hwk",),
            acr="phr",
        ),
        lifetimes=node.provider.settings.sessions,
        user_agent="test",
        address="127.0.0.1",
        now=now,
        previous=previous,
    )


def _passkey(account_id: str, number: int, *, now: datetime) -> Credential:
    return Credential(
        id=f"passkey-{number}".encode(),
        account_id=account_id,
        rp_id="id.example",
        public_key=b"",
        sign_count=0,
        transports=[],
        aaguid="",
        backup_eligible=True,
        backed_up=True,
        user_verified=True,
        name=f"Passkey {number}",
        suspected_clone_at=None,
        created_at=now,
        last_used_at=None,
    )
