"""Who a token is about: in every way that it may be asked, and in none that it may not."""

import base64
import json

import httpx
import pytest

from tests.support.answers import assert_bearer_error
from tests.support.node import ISSUER, App, Node, Person, claims_of

API = "https://api.example/"
CLAIMS = {"sub", "name", "updated_at", "email", "email_verified"}


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def token(node: Node, app: App, person: Person) -> str:
    return str((await node.tokens(app, person))["access_token"])


def segment(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def ask(node: Node, token: str) -> httpx.Response:
    return await node.userinfo(token)


async def assert_invalid(node: Node, token: str) -> None:
    response = await node.http.get(
        "/userinfo", headers=[(b"Authorization", f"Bearer {token}".encode("utf-8", "surrogateescape"))]
    )
    assert_bearer_error(response, "invalid_token", status=401)


async def test_a_token_for_an_api_alone_tells_nothing_here(node: Node, person: Person) -> None:
    app = await node.app(audiences=[API])
    for_both = await node.tokens(app, person)
    for_api = await node.tokens(app, person, resource=API)
    narrowed = (await node.refresh(app, for_both["refresh_token"], resource=API)).json()
    for_us = (await node.refresh(app, narrowed["refresh_token"], resource=ISSUER)).json()

    assert claims_of(for_both["access_token"])["aud"] == [API, ISSUER]
    assert (await ask(node, for_both["access_token"])).status_code == 200
    assert claims_of(for_api["access_token"])["aud"] == API
    await assert_invalid(node, for_api["access_token"])
    assert claims_of(narrowed["access_token"])["aud"] == API
    await assert_invalid(node, narrowed["access_token"])
    assert claims_of(for_us["access_token"])["aud"] == ISSUER
    assert (await ask(node, for_us["access_token"])).status_code == 200


async def test_the_apps_own_page_may_read_answers_and_errors(node: Node, app: App, token: str) -> None:
    assert app.redirect_uri.startswith("https://app.example/")
    origin = {"Origin": "https://app.example"}
    for headers, status in (
        ({"Authorization": f"Bearer {token}"}, 200),
        ({"Authorization": "Bearer x"}, 401),
        ({}, 401),
    ):
        response = await node.http.get("/userinfo", headers=headers | origin)

        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert response.headers["vary"] == "Origin"
        assert "WWW-Authenticate" in response.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in response.headers


async def test_no_other_page_may_read_an_answer(node: Node, app: App, person: Person, token: str) -> None:
    await node.app(redirect_uris=["https://other.example/cb"])
    for origin in ("https://evil.example", "null", "https://app.example.evil", "http://app.example", "x", ""):
        for headers in ({"Authorization": f"Bearer {token}"}, {"Authorization": "Bearer x"}):
            response = await node.http.get("/userinfo", headers=headers | {"Origin": origin})
            assert "access-control-allow-origin" not in response.headers, origin
    # Another app's page may read that a token is no good, and nothing about anyone.
    anothers = {"Origin": "https://other.example"}
    good = await node.http.get("/userinfo", headers=anothers | {"Authorization": f"Bearer {token}"})
    bad = await node.http.get("/userinfo", headers=anothers | {"Authorization": "Bearer x"})
    assert "access-control-allow-origin" not in good.headers
    assert bad.headers["access-control-allow-origin"] == "https://other.example"
    assert person.email not in bad.text
    assert app.id not in bad.text
