"""Token Status List: a service that holds the keys and a list of some bytes knows what was revoked."""

import asyncio
import gzip
import time
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.clients import registration
from idp.resource_server import (
    AuthorizationServer,
    InvalidTokenError,
    PresentedToken,
    validate_access_token,
)
from idp.storage import accounts, connections, grants
from idp.storage.database import Transaction
from idp.storage.tables import grants as grants_table
from tests.support.node import ISSUER, App, Node, Person, claims_of

API = "https://api.example/"
LIST = f"{ISSUER}/status-lists/0"
TTL = 10
LIVE_TOKENS = 100_000


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app(audiences=[API])


@pytest.fixture
def service(node: Node) -> AuthorizationServer:
    """A service elsewhere: all that it knows comes from the published documents."""
    return AuthorizationServer(ISSUER, http=node.browser, clock=lambda: node.clock().timestamp())


async def is_accepted(service: AuthorizationServer, token: str) -> bool:
    presented = PresentedToken(token=token, scheme="Bearer", proofs=(), method="GET", uri=API)
    try:
        await validate_access_token(presented, server=service, audience=API)
    except InvalidTokenError as refusal:
        return str(refusal) != "the token was revoked"
    return True


async def refresh(node: Node) -> None:
    """Do what each node does every few seconds."""
    await node.provider.status_lists.refresh(now=node.clock())


async def list_claims(node: Node, uri: str = LIST) -> dict[str, Any]:
    response = await node.http.get(uri)
    assert response.status_code == 200
    keys = KeySet.import_key_set((await node.http.get("/jwks")).json())
    token = jwt.decode(response.text, keys, algorithms=["RS256"])
    assert token.header["typ"] == "statuslist+jwt"
    return dict(token.claims)


async def test_a_list_says_whose_it_is_and_how_long_to_keep_it(node: Node, app: App, person: Person) -> None:
    await node.tokens(app, person)
    await refresh(node)

    claims = await list_claims(node)

    now = int(node.clock().timestamp())
    assert claims.pop("status_list")["bits"] == 1
    assert claims == {"iss": ISSUER, "sub": LIST, "iat": now, "exp": now + 300, "ttl": TTL}
    response = await node.http.get(LIST, headers={"Accept": "application/statuslist+jwt"})
    assert response.headers["content-type"] == "application/statuslist+jwt"
    assert response.headers["cache-control"] == "public, max-age=10"
    assert response.headers["access-control-allow-origin"] == "*"


async def test_each_grant_has_a_place_that_its_tokens_keep(node: Node, app: App, person: Person) -> None:
    first, other = await node.tokens(app, person), await node.tokens(app, person)
    again = (await node.refresh(app, first["refresh_token"])).json()

    status = [claims_of(tokens["access_token"])["status"]["status_list"] for tokens in (first, other, again)]

    assert [place["uri"] for place in status] == [LIST] * 3
    assert status[0]["idx"] == status[2]["idx"] != status[1]["idx"]


async def test_grants_made_at_once_have_places_of_their_own(node: Node, app: App) -> None:
    people = [await node.person(f"person{number}@example.com") for number in range(6)]

    tokens = await asyncio.gather(*(node.tokens(app, person) for person in people))

    places = [claims_of(token["access_token"])["status"]["status_list"]["idx"] for token in tokens]
    assert len(set(places)) == 6


async def end(node: Node, app: App, person: Person, tokens: dict[str, Any], *, way: str) -> None:
    transact, now = node.provider.database.transact, node.clock()
    if way == "revoked by its client":
        form = {"token": tokens["access_token"]}
        await node.http.post("/revoke", data=form, auth=(app.id, app.secret or ""))
    elif way == "refresh token reused":
        rotated = (await node.refresh(app, tokens["refresh_token"])).json()
        await node.refresh(app, rotated["refresh_token"])
        node.clock.advance(31)
        await node.refresh(app, tokens["refresh_token"])
    elif way == "signed out everywhere":
        await transact(accounts.raise_epoch, account_id=person.account_id, seen_epoch=0, now=now)
    elif way == "person disabled":
        await transact(accounts.set_status, account_id=person.account_id, status="disabled", now=now)
    elif way == "person deleted":
        await transact(accounts.erase, account_id=person.account_id, now=now)
    elif way == "consent withdrawn":
        await transact(connections.withdraw, account_id=person.account_id, client_id=app.id, now=now)
    elif way == "client disabled":
        await transact(registration.disable, client_id=app.id, now=now)
    elif way == "client deleted":
        await transact(registration.delete, client_id=app.id, now=now)


WAYS = [
    "revoked by its client", "refresh token reused", "signed out everywhere", "person disabled",
    "person deleted", "consent withdrawn", "client disabled", "client deleted",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_a_service_refuses_within_the_ttl_what_was_ended(
    node: Node, app: App, person: Person, service: AuthorizationServer, way: str
) -> None:
    other = await node.app(audiences=[API])
    bob = await node.person("bob@example.com")
    ended, kept = await node.tokens(app, person), await node.tokens(other, bob)
    await refresh(node)
    assert await is_accepted(service, ended["access_token"])

    await end(node, app, person, ended, way=way)
    node.clock.advance(TTL / 2)
    await refresh(node)
    node.clock.advance(TTL / 2)

    assert not await is_accepted(service, ended["access_token"])
    assert await is_accepted(service, kept["access_token"])


async def test_a_session_that_ends_takes_its_tokens_along(
    node: Node, app: App, person: Person, service: AuthorizationServer
) -> None:
    bound = await node.tokens(app, person, scope="openid")
    lasting = await node.tokens(app, person)
    await node.provider.database.transact(
        grants.revoke_of_session, session_id=person.session_id, now=node.clock()
    )
    await refresh(node)

    assert not await is_accepted(service, bound["access_token"])
    assert await is_accepted(service, lasting["access_token"])


async def test_a_token_outlives_its_expired_grant_nowhere(
    node: Node, app: App, person: Person, service: AuthorizationServer
) -> None:
    first = await node.tokens(app, person)
    grant = await node.grant(first)
    # Fifteen minutes are left of the thirty days, and the last token is minted.
    await node.provider.database.transact(
        _change, grant_id=grant.id, expires_at=node.clock() + timedelta(minutes=5)
    )
    tokens = (await node.refresh(app, first["refresh_token"])).json()
    await refresh(node)
    assert await is_accepted(service, tokens["access_token"])

    node.clock.advance(timedelta(minutes=5))
    await refresh(node)

    assert not await is_accepted(service, tokens["access_token"])


async def _change(tx: Transaction, /, *, grant_id: bytes, **values: object) -> None:
    await tx.execute(sa.update(grants_table).where(grants_table.c.id == grant_id).values(values))


async def test_an_entry_leaves_the_list_when_no_token_can_be_alive(
    node: Node, app: App, person: Person
) -> None:
    await refresh(node)
    empty = (await list_claims(node))["status_list"]
    tokens = await node.tokens(app, person)
    await end(node, app, person, tokens, way="revoked by its client")
    node.clock.advance(1)
    await refresh(node)
    assert (await list_claims(node))["status_list"] != empty

    node.clock.advance(900)
    await refresh(node)
    assert (await list_claims(node))["status_list"] != empty
    node.clock.advance(30 + 90)
    await refresh(node)

    assert (await list_claims(node))["status_list"] == empty


async def test_what_ended_before_any_token_was_alive_is_not_listed(
    node: Node, app: App, person: Person
) -> None:
    await refresh(node)
    empty = (await list_claims(node))["status_list"]
    code = await node.code(app, person)
    await node.http.post("/revoke", data={"token": code}, auth=(app.id, app.secret or ""))
    node.clock.advance(1)
    await refresh(node)

    assert (await list_claims(node))["status_list"] == empty


async def test_what_was_committed_late_is_found_all_the_same(
    node: Node, app: App, person: Person, service: AuthorizationServer
) -> None:
    tokens = await node.tokens(app, person)
    began_at = node.clock()
    for _ in range(15):
        node.clock.advance(5)
        await refresh(node)

    # A transaction that took long, or one of a node whose clock is behind.
    grant = await node.grant(tokens)
    await node.provider.database.transact(grants.revoke, grant_id=grant.id, reason="test", now=began_at)
    node.clock.advance(5)
    await refresh(node)

    assert not await is_accepted(service, tokens["access_token"])


async def test_a_node_that_starts_anew_knows_what_ended_before(
    node: Node, app: App, person: Person, service: AuthorizationServer
) -> None:
    tokens = await node.tokens(app, person)
    await end(node, app, person, tokens, way="signed out everywhere")
    node.clock.advance(899)

    # The first refresh of a node looks back over the life of a token.
    await refresh(node)

    assert not await is_accepted(service, tokens["access_token"])


async def test_lists_go_on_where_one_is_full(
    node: Node, app: App, person: Person, service: AuthorizationServer
) -> None:
    first = await node.tokens(app, person)
    grant = await node.grant(first)
    await node.provider.database.transact(_change, grant_id=grant.id, status_index=2**17 + 5)
    tokens = (await node.refresh(app, first["refresh_token"])).json()
    assert claims_of(tokens["access_token"])["status"] == {
        "status_list": {"idx": 5, "uri": f"{ISSUER}/status-lists/1"}
    }
    await refresh(node)
    assert await is_accepted(service, tokens["access_token"])

    await end(node, app, person, tokens, way="revoked by its client")
    node.clock.advance(TTL)
    await refresh(node)

    assert not await is_accepted(service, tokens["access_token"])
    assert (await node.http.get("/status-lists")).json() == {
        "status_lists": [f"{ISSUER}/status-lists/{number}" for number in (1, 2)]
    }


@pytest.mark.parametrize("number", ["2", "99", "00", "01", "-1", "+1", "x", "1e3", "\uff11", "9" * 400])
async def test_a_list_that_is_none_is_not_found(sqlite_node: Node, number: str) -> None:
    await refresh(sqlite_node)

    assert (await sqlite_node.http.get(f"/status-lists/{number}")).status_code == 404


async def test_a_list_comes_compressed_to_those_who_can_undo_it(sqlite_node: Node) -> None:
    await refresh(sqlite_node)

    async with sqlite_node.http.stream("GET", LIST, headers={"Accept-Encoding": "gzip"}) as squeezed:
        raw = b"".join([chunk async for chunk in squeezed.aiter_raw()])
    plain = await sqlite_node.http.get(LIST, headers={"Accept-Encoding": "identity"})

    assert squeezed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert squeezed.headers["etag"] != plain.headers["etag"]
    for response in (squeezed, plain):
        headers = {"If-None-Match": response.headers["etag"]}
        encoding = {"Accept-Encoding": response.headers.get("content-encoding", "identity")}
        again = await sqlite_node.http.get(LIST, headers=headers | encoding)
        assert (again.status_code, again.content) == (304, b"")


async def test_a_list_is_served_from_memory(sqlite_node: Node) -> None:
    app = await sqlite_node.app()
    await sqlite_node.tokens(app, await sqlite_node.person())
    await refresh(sqlite_node)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        bodies = {(await sqlite_node.http.get(LIST)).text for _ in range(50)}
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    assert len(bodies) == 1
    assert not [statement for statement in statements if "grants" in statement]


async def test_a_copy_of_a_list_says_how_old_it_is(sqlite_node: Node) -> None:
    await refresh(sqlite_node)
    sqlite_node.clock.advance(4)
    assert (await sqlite_node.http.get(LIST)).headers["cache-control"] == "public, max-age=6"
    sqlite_node.clock.advance(60)
    assert (await sqlite_node.http.get(LIST)).headers["cache-control"] == "public, max-age=0"


async def test_the_metadata_name_the_lists(sqlite_node: Node) -> None:
    await refresh(sqlite_node)
    metadata = (await sqlite_node.http.get("/.well-known/oauth-authorization-server")).json()

    listed = await sqlite_node.http.get(metadata["status_list_aggregation_endpoint"])

    assert listed.json()["status_lists"][0] == LIST


async def test_a_hundred_thousand_live_tokens_make_a_small_list_quickly(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    grant = await node.grant(tokens)
    await node.provider.database.transact(_multiply, grant_id=grant.id, most=LIVE_TOKENS)
    # One in ten, in no order: more than ever were taken back at once, and nothing for the compression.
    await node.provider.database.transact(_revoke_some, now=node.clock())

    begun_at = time.perf_counter()
    await refresh(node)
    response = await node.http.get(LIST, headers={"Accept-Encoding": "identity"})
    seconds = time.perf_counter() - begun_at

    assert len(response.content) < 20_000
    # Some tens of milliseconds where nothing else runs.
    assert seconds < 2
    begun_at = time.perf_counter()
    for _ in range(100):
        await node.http.get(LIST)
    assert time.perf_counter() - begun_at < 2


async def _multiply(tx: Transaction, *, grant_id: bytes, most: int) -> None:
    """Copy one grant until there are so many of them, each in its own place."""
    numbers = sa.select(sa.literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n < most - 1))
    new_id: sa.ColumnElement[bytes]
    if tx.dialect.name == "postgresql":
        new_id = sa.func.decode(sa.func.lpad(sa.func.to_hex(numbers.c.n), 32, "0"), "hex")
    else:
        new_id = sa.cast(sa.func.printf("%016d", numbers.c.n), sa.LargeBinary)
    changed = {"id": new_id, "status_index": grants_table.c.status_index + numbers.c.n}
    columns = [changed.get(column.name, column) for column in grants_table.c]
    copies = (
        sa.select(*columns)
        .select_from(grants_table.join(numbers, sa.true()))
        .where(grants_table.c.id == grant_id)
    )
    await tx.execute(sa.insert(grants_table).from_select([column.name for column in grants_table.c], copies))


async def _revoke_some(tx: Transaction, *, now: object) -> None:
    random = sa.func.random()
    await tx.execute(
        sa.update(grants_table)
        .where(random < 0.1 if tx.dialect.name == "postgresql" else random % 10 == 0)
        .values(status="revoked", revoked_at=now, revoked_reason="test")
    )
