"""Giving tokens back (RFC 7009): all of the grant ends, and nobody else's."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from idp.storage import audit_log, replayed_ids
from idp.storage.database import Transaction
from tests.support.node import App, Node, Person, claims_of

MACHINE: dict[str, Any] = {  # Any: a client's metadata are of many types.
    "grant_types": ["client_credentials"],
    "redirect_uris": [],
    "scope": "reports:read",
    "audiences": ["https://api.example/"],
}


async def revoke(node: Node, app: App, token: str | None, **changes: str) -> httpx.Response:
    form = {"token": token} | changes if token is not None else {"x": "y"}
    if app.secret is None:
        return await node.http.post("/revoke", data={"client_id": app.id} | form)
    return await node.http.post("/revoke", data=form, auth=(app.id, app.secret))


async def rows_of_everything(node: Node) -> list[tuple[str, str]]:
    """Which grants are in which state, and what is remembered as revoked."""

    async def read(tx: Transaction) -> list[tuple[str, str]]:
        grants = await tx.execute(sa.text("SELECT id, status FROM grants ORDER BY id"))
        ids = await tx.execute(sa.text("SELECT id_sha256, kind FROM replayed_ids ORDER BY id_sha256"))
        return [(bytes(row[0]).hex(), row[1]) for row in [*grants, *ids]]

    return await node.provider.database.read(read)


async def events(node: Node) -> list[str]:
    entries = await node.provider.database.read(audit_log.after, row_id=0, limit=1000)
    return [entry.event for entry in entries]


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", ["", "refresh_token", "nonsense"])
async def test_any_token_of_a_grant_ends_all_of_it(
    node: Node, app: App, person: Person, kind: str, hint: str
) -> None:
    tokens = await node.tokens(app, person)

    response = await revoke(node, app, tokens[kind], token_type_hint=hint)

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["cache-control"] == "no-store"
    assert (await node.grant(tokens)).revoked_reason == "client revoked it"
    assert (await node.userinfo(tokens["access_token"])).status_code == 401
    refused = await node.refresh(app, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_an_old_refresh_token_still_gives_its_family_back(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()

    await revoke(node, app, first["refresh_token"])

    assert (await node.userinfo(second["access_token"])).status_code == 401
    assert (await node.refresh(app, second["refresh_token"])).status_code == 400


async def test_the_retry_window_never_covers_what_was_given_back(
    node: Node, app: App, person: Person
) -> None:
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()
    await revoke(node, app, second["refresh_token"])

    refused = await node.refresh(app, first["refresh_token"])

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_code_can_be_given_back_unused(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)

    assert (await revoke(node, app, code)).status_code == 200

    refused = await node.redeem(app, code)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_public_client_gives_its_own_tokens_back(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="none")
    tokens = await node.tokens(app, person)

    assert (await revoke(node, app, tokens["refresh_token"])).status_code == 200

    assert (await node.grant(tokens)).status == "revoked"


async def test_the_persons_other_grants_live_on(node: Node, app: App, person: Person) -> None:
    given_back = await node.tokens(app, person)
    kept = await node.tokens(app, person)

    await revoke(node, app, given_back["refresh_token"])

    assert (await node.userinfo(kept["access_token"])).status_code == 200
    assert (await node.refresh(app, kept["refresh_token"])).status_code == 200


@pytest.mark.parametrize("method", ["client_secret_basic", "none"])
async def test_another_clients_token_is_left_alone(node: Node, app: App, person: Person, method: str) -> None:
    stranger = await node.app(token_endpoint_auth_method=method)
    tokens = await node.tokens(app, person)
    before = await rows_of_everything(node)

    for kind in ("refresh_token", "access_token", "id_token"):
        response = await revoke(node, stranger, tokens[kind])
        assert (response.status_code, response.content) == (200, b"")

    assert await rows_of_everything(node) == before
    assert (await node.userinfo(tokens["access_token"])).status_code == 200
    assert "token_revoked" not in await events(node)


async def test_what_is_no_token_changes_nothing(sqlite_node: Node) -> None:
    app = await sqlite_node.app()
    await sqlite_node.tokens(app, await sqlite_node.person())
    before = await rows_of_everything(sqlite_node)

    for token in ("x", "a.b.c", "é", "\u2028", "A" * 82, "A" * 60_000):
        assert (await revoke(sqlite_node, app, token)).status_code == 200

    assert await rows_of_everything(sqlite_node) == before


async def test_an_expired_access_token_changes_nothing(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    node.clock.advance(900)
    before = await rows_of_everything(node)

    assert (await revoke(node, app, tokens["access_token"])).status_code == 200

    assert await rows_of_everything(node) == before


async def test_an_id_token_of_its_own_is_no_token_to_give_back(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    assert (await revoke(node, app, tokens["id_token"])).status_code == 200

    assert (await node.grant(tokens)).status == "active"


async def test_giving_back_twice_is_one_event(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    answers = await asyncio.gather(*(revoke(node, app, tokens["refresh_token"]) for _ in range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert (await events(node)).count("token_revoked") == 1


async def test_revoking_and_refreshing_at_once_leaves_nothing_alive(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)

    refreshed, _ = await asyncio.gather(
        node.refresh(app, tokens["refresh_token"]), revoke(node, app, tokens["refresh_token"])
    )

    assert (await node.userinfo(tokens["access_token"])).status_code == 401
    if refreshed.status_code == 200:
        assert (await node.userinfo(refreshed.json()["access_token"])).status_code == 401
        assert (await node.refresh(app, refreshed.json()["refresh_token"])).status_code == 400


async def test_a_services_own_token_is_remembered_until_it_expires(node: Node) -> None:
    machine = await node.app(**MACHINE)
    token = (await node.token(machine, {"grant_type": "client_credentials"})).json()["access_token"]

    for _ in range(2):
        assert (await revoke(node, machine, token)).status_code == 200

    digest = hashlib.sha256(str(claims_of(token)["jti"]).encode()).digest()
    database = node.provider.database
    assert await database.read(replayed_ids.is_known, kind="revoked_access_token", id_sha256=digest)
    assert (await events(node)).count("token_revoked") == 1


async def test_a_services_token_is_not_for_others_to_give_back(node: Node, app: App) -> None:
    machine = await node.app(**MACHINE)
    token = (await node.token(machine, {"grant_type": "client_credentials"})).json()["access_token"]
    before = await rows_of_everything(node)

    assert (await revoke(node, app, token)).status_code == 200

    assert await rows_of_everything(node) == before


@pytest.mark.parametrize(
    ("auth", "form"),
    [
        (None, {}),
        (("nobody", "secret"), {}),
        ("wrong", {}),
        (None, {"client_id": "the app"}),
    ],
    ids=["nobody", "unknown", "wrong secret", "confidential as public"],
)
async def test_an_unproven_client_gives_nothing_back(
    node: Node, app: App, person: Person, auth: tuple[str, str] | str | None, form: dict[str, str]
) -> None:
    tokens = await node.tokens(app, person)
    credentials = (app.id, "wrong") if isinstance(auth, str) else auth
    fields = {"token": tokens["refresh_token"]} | dict.fromkeys(form, app.id)

    response = await node.http.post("/revoke", data=fields, auth=credentials or httpx.USE_CLIENT_DEFAULT)

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert (await node.grant(tokens)).status == "active"


async def test_a_token_in_the_address_is_refused(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    response = await node.http.post(
        "/revoke",
        params={"token": tokens["refresh_token"]},
        data={"client_id": app.id},
        auth=(app.id, app.secret or ""),
    )

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert (await node.grant(tokens)).status == "active"


async def test_a_repeated_parameter_is_refused(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    response = await node.http.post(
        "/revoke",
        data={"token": [tokens["refresh_token"], tokens["access_token"]]},
        auth=(app.id, app.secret or ""),
    )

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert (await node.grant(tokens)).status == "active"


async def test_a_token_is_required(node: Node, app: App) -> None:
    response = await revoke(node, app, None)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
async def test_another_kind_of_body_is_refused(sqlite_node: Node, content_type: str) -> None:
    app = await sqlite_node.app()
    response = await sqlite_node.http.post(
        "/revoke",
        content=b'{"token": "x"}',
        headers={"Content-Type": content_type},
        auth=(app.id, app.secret or ""),
    )

    assert (response.status_code, response.json()["error"]) == (415, "invalid_request")


async def test_asking_with_get_is_not_possible(node: Node) -> None:
    assert (await node.http.get("/revoke")).status_code == 405


async def test_only_the_clients_own_pages_read_the_answer(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="none")
    for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
        tokens = await node.tokens(app, person)
        form = {"client_id": app.id, "token": tokens["refresh_token"]}

        response = await node.http.post("/revoke", data=form, headers={"Origin": origin})
        preflight = await node.http.options("/revoke", headers={"Origin": origin})

        assert response.headers.get("access-control-allow-origin") == allowed
        assert preflight.headers.get("access-control-allow-origin") == allowed
