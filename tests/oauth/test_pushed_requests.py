"""Pushed authorization requests (RFC 9126)."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.dpop import ProofKey
from tests.support.frozen_clock import FrozenClock
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    authorization_parameters,
    location_parameters,
    running_node,
)


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app(first_party=True)


async def push(node: Node, app: App, **changes: str) -> httpx.Response:
    form = {name: value for name, value in (authorization_parameters(app) | changes).items() if value}
    auth = httpx.BasicAuth(app.id, app.secret) if app.secret else httpx.USE_CLIENT_DEFAULT
    return await node.http.post("/par", data=form, auth=auth)


async def visit(node: Node, app_id: str, person: Person, request_uri: str, **others: str) -> httpx.Response:
    async with node.browser(person.cookies) as browser:
        query = {"client_id": app_id, "request_uri": request_uri} | others
        return await browser.get("/authorize", params=query)


async def test_a_pushed_request_is_answered_like_one_in_the_address(
    node: Node, app: App, person: Person
) -> None:
    pushed = await push(node, app)
    assert pushed.status_code == 201
    assert pushed.json()["expires_in"] == 90
    assert pushed.headers["cache-control"] == "no-store"

    answer = location_parameters(await visit(node, app.id, person, pushed.json()["request_uri"]))

    assert set(answer) == {"code", "state", "iss"}
    assert (await node.redeem(app, answer["code"])).status_code == 200


async def test_what_stands_beside_the_reference_is_not_read(node: Node, app: App, person: Person) -> None:
    request_uri = (await push(node, app)).json()["request_uri"]

    response = await visit(node, app.id, person, request_uri, state="other", scope="openid email x")

    assert location_parameters(response)["state"] == "s-1"


async def test_a_reference_is_good_once(node: Node, app: App, person: Person) -> None:
    request_uri = (await push(node, app)).json()["request_uri"]

    responses = await asyncio.gather(*(visit(node, app.id, person, request_uri) for _ in range(8)))

    assert sorted(r.status_code for r in responses) == [303] + [400] * 7


async def test_a_reference_waits_ninety_seconds(node: Node, app: App, person: Person) -> None:
    request_uri = (await push(node, app)).json()["request_uri"]
    node.clock.advance(90)

    response = await visit(node, app.id, person, request_uri)

    assert response.status_code == 400
    assert "location" not in response.headers


async def test_a_reference_belongs_to_its_client(node: Node, app: App, person: Person) -> None:
    other = await node.app(first_party=True, client_name="Other")
    request_uri = (await push(node, app)).json()["request_uri"]

    foreign = await visit(node, other.id, person, request_uri)

    assert foreign.status_code == 400
    assert (await visit(node, app.id, person, request_uri)).status_code == 303


async def test_a_confidential_client_proves_itself(node: Node, app: App) -> None:
    form = authorization_parameters(app)

    without = await node.http.post("/par", data=form)
    wrong = await node.http.post("/par", data=form, auth=(app.id, "wrong"))

    for response in (without, wrong):
        assert response.status_code == 401
        assert response.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/cb"}, "unauthorized_client"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"scope": "openid\u00e9"}, "invalid_scope"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"request": "x.y.z"}, "request_not_supported"),
        ({"resource": "https://unknown.example"}, "invalid_target"),
    ],
)
async def test_a_wrong_request_is_refused_when_it_is_pushed(
    node: Node, app: App, changes: dict[str, str], error: str
) -> None:
    response = await push(node, app, **changes)

    assert response.status_code == 400
    assert response.json()["error"] == error


async def test_pushing_is_by_post_alone(node: Node) -> None:
    assert (await node.http.get("/par")).status_code == 405


async def test_a_client_that_must_push_gets_nothing_by_address(node: Node, person: Person) -> None:
    app = await node.app(first_party=True, require_pushed_authorization_requests=True)

    refused = await node.authorize(app, person)

    assert location_parameters(refused)["error"] == "invalid_request"
    request_uri = (await push(node, app)).json()["request_uri"]
    assert "code" in location_parameters(await visit(node, app.id, person, request_uri))


async def test_every_client_may_be_made_to_push(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> None:
    async with running_node(sqlite_url, clock, tmp_path, require_pushed_authorization_requests=True) as node:
        app = await node.app(first_party=True)
        person = await node.person()

        refused = await node.authorize(app, person)

        assert location_parameters(refused)["error"] == "invalid_request"
        metadata = (await node.http.get("/.well-known/openid-configuration")).json()
        assert metadata["require_pushed_authorization_requests"] is True


async def test_the_key_proved_when_pushing_is_the_one_that_redeems(node: Node, person: Person) -> None:
    spa = await node.app(first_party=True, token_endpoint_auth_method="none")
    key = ProofKey()
    proof = key.proof("POST", f"{ISSUER}/par", now=node.clock())
    pushed = await node.http.post("/par", data=authorization_parameters(spa), headers={"DPoP": proof})
    answer = location_parameters(await visit(node, spa.id, person, pushed.json()["request_uri"]))

    refused = await node.redeem(spa, answer["code"])

    assert refused.json()["error"] == "invalid_grant"


async def test_a_proof_by_another_key_than_dpop_jkt_is_refused(node: Node, app: App) -> None:
    proof = ProofKey().proof("POST", f"{ISSUER}/par", now=node.clock())
    form = authorization_parameters(app) | {"dpop_jkt": ProofKey().thumbprint}

    response = await node.http.post(
        "/par", data=form, headers={"DPoP": proof}, auth=app.auth or httpx.USE_CLIENT_DEFAULT
    )

    assert response.json()["error"] == "invalid_dpop_proof"


async def test_a_pushed_request_waits_for_sign_in_like_any_other(node: Node, app: App) -> None:
    request_uri = (await push(node, app)).json()["request_uri"]
    async with node.browser() as browser:
        response = await browser.get("/authorize", params={"client_id": app.id, "request_uri": request_uri})
        assert response.headers["location"].startswith("/login?request=")
        back = response.headers["location"].replace("/login", "/authorize")
        assert (await browser.get(back)).headers["location"].startswith("/login?request=")
