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
