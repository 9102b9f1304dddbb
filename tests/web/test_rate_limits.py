"""What happens to callers who ask too often, and that nobody else notices."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from idp.storage import connections
from tests.support.answers import assert_error_page, assert_json_error, contents
from tests.support.frozen_clock import FrozenClock
from tests.support.node import App, Node, Person, authorization_parameters, running_node

PROXY = "203.0.113.1"


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    """A node with limits that a test can reach, behind a proxy that it trusts."""
    limits = {"sign_in": "5 per minute", "token": "400 per minute", "client_failures": "10 per minute"}
    async with running_node(
        sqlite_url, clock, tmp_path, rate_limit=limits, trusted_proxies=(PROXY,)
    ) as running:
        yield running


def caller(node: Node, peer: str) -> httpx.AsyncClient:
    """A caller whose connection comes from `peer`."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(node.provider.asgi, client=(peer, 40_000)),
        base_url="https://id.example",
    )


async def guess(node: Node, app: App, address: str, secret: str = "wrong") -> httpx.Response:
    """Present a secret from an address behind the proxy."""
    return await caller(node, PROXY).post(
        "/token",
        data={"grant_type": "refresh_token", "refresh_token": "x"},
        auth=(app.id, secret),
        headers={"X-Forwarded-For": address},
    )


def assert_too_many(response: httpx.Response) -> None:
    assert_json_error(response, "temporarily_unavailable", status=429)
    assert int(response.headers["retry-after"]) > 0


async def test_the_default_limits_leave_an_ordinary_sign_in_alone(
    sqlite_url: str, clock: FrozenClock, tmp_path: Path
) -> None:
    async with running_node(sqlite_url, clock, tmp_path) as node:
        app, person = await node.app(), await node.person()
        for _ in range(15):
            await node.provider.database.transact(
                connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
            )
            await node.tokens(app, person)


async def test_sign_in_pages_are_limited_by_address_and_told_as_a_page(node: Node, app: App) -> None:
    stranger = caller(node, "198.51.100.7")
    query = authorization_parameters(app)
    for _ in range(5):
        assert (await stranger.get("/authorize", params=query)).status_code == 303
    before = await contents(node)

    page = await stranger.get("/authorize", params=query, headers={"Accept": "text/html"})
    consent = await stranger.get("/consent?request=x", headers={"Accept": "text/html"})
    machine = await stranger.get("/authorize", params=query)

    assert_error_page(page, status=429)
    assert "Too many tries" in page.text
    assert int(page.headers["retry-after"]) > 0
    assert consent.status_code == 429
    assert_too_many(machine)
    assert await contents(node) == before
    assert (await caller(node, "198.51.100.8").get("/authorize", params=query)).status_code == 303


async def test_forwarded_headers_of_a_stranger_buy_no_fresh_limit(node: Node, app: App) -> None:
    stranger = caller(node, "198.51.100.7")
    query = authorization_parameters(app)

    answers = [
        await stranger.get(
            "/authorize",
            params=query,
            headers={
                "X-Forwarded-For": f"192.0.2.{n}",
                "Forwarded": f"for=192.0.2.{n}",
                "X-Real-IP": f"192.0.2.{n}",
                "X_Forwarded_For": f"192.0.2.{n}",
                "True-Client-IP": f"192.0.2.{n}",
            },
        )
        for n in range(6)
    ]

    assert [answer.status_code for answer in answers] == [303] * 5 + [429]


async def test_behind_a_trusted_proxy_the_nearest_stranger_counts(node: Node, app: App) -> None:
    proxied = caller(node, PROXY)
    query = authorization_parameters(app)

    answers = [
        await proxied.get(
            "/authorize", params=query, headers={"X-Forwarded-For": f"192.0.2.{n}, 198.51.100.7, {PROXY}"}
        )
        for n in range(6)
    ]
    other = await proxied.get("/authorize", params=query, headers={"X-Forwarded-For": "198.51.100.8"})

    assert [answer.status_code for answer in answers] == [303] * 5 + [429]
    assert other.status_code == 303


async def test_all_addresses_of_one_ipv6_subscriber_share_a_limit(node: Node, app: App) -> None:
    query = authorization_parameters(app)

    answers = [await caller(node, f"2001:db8:1:2:{n}::{n}").get("/authorize", params=query) for n in range(6)]
    neighbour = await caller(node, "2001:db8:1:3::1").get("/authorize", params=query)

    assert [answer.status_code for answer in answers] == [303] * 5 + [429]
    assert neighbour.status_code == 303


async def test_other_spellings_of_an_address_are_no_way_around_a_limit(node: Node, app: App) -> None:
    stranger = caller(node, "198.51.100.7")
    query = str(httpx.QueryParams(authorization_parameters(app)))
    for _ in range(5):
        await stranger.get(f"/authorize?{query}")

    assert (await stranger.get(f"/%61uthorize?{query}")).status_code == 429
    for path in ("//authorize", "/authorize/", "/./authorize/.", "/AUTHORIZE", "/authorize;x"):
        assert (await stranger.get(f"https://id.example{path}?{query}")).status_code in {404, 429}


async def test_the_token_endpoint_is_limited_by_address(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    stranger = caller(node, "198.51.100.7")
    for _ in range(400):
        await stranger.post("/token", data={})

    assert_too_many(await stranger.post("/token", data={}))

    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


async def test_guessing_a_secret_is_stopped_and_the_client_elsewhere_goes_on(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)

    answers = [await guess(node, app, "198.51.100.7") for _ in range(12)]

    for answer in answers[:10]:
        assert_json_error(answer, "invalid_client", status=401)
    for answer in answers[10:]:
        assert_too_many(answer)
    # Nor does the right secret pass from there.
    assert app.secret is not None
    assert_too_many(await guess(node, app, "198.51.100.7", app.secret))
    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


async def test_guessing_from_one_ipv6_subscribers_many_addresses_is_stopped(node: Node, app: App) -> None:
    answers = [await guess(node, app, f"2001:db8:1:2::{n:x}") for n in range(12)]

    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


async def test_guessing_from_two_hundred_addresses_is_stopped(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    addresses = [f"198.51.100.{n}" for n in range(200)]

    first = [await guess(node, app, address) for address in addresses[:20]]
    second = [await guess(node, app, address) for address in addresses[:20]]

    # An address that never failed may be the client's own; one that did has to wait.
    assert {answer.status_code for answer in first} == {401}
    assert {answer.status_code for answer in second} == {429}
    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


async def test_a_burst_of_guesses_is_judged_no_more_often_than_the_limit(node: Node, app: App) -> None:
    answers = await asyncio.gather(*(guess(node, app, "198.51.100.7") for _ in range(300)))

    assert sum(answer.status_code == 401 for answer in answers) == 10
    assert sum(answer.status_code == 429 for answer in answers) == 290


async def test_failures_are_counted_for_each_client_by_itself(node: Node, app: App) -> None:
    other = await node.app()
    for _ in range(11):
        await guess(node, app, "198.51.100.7")
    assert other.secret is not None

    answer = await guess(node, other, "198.51.100.7", other.secret)

    assert_json_error(answer, "invalid_grant")


async def test_a_body_secret_counts_like_one_in_the_header(node: Node, app: App) -> None:
    for _ in range(10):
        await guess(node, app, "198.51.100.7")
    pair = base64.b64encode(f"{app.id}:x".encode()).decode()

    by_body = await caller(node, PROXY).post(
        "/token",
        data={"grant_type": "refresh_token", "client_id": app.id, "client_secret": "x"},
        headers={"X-Forwarded-For": "198.51.100.7"},
    )
    by_header = await caller(node, PROXY).post(
        "/token",
        data={"x": "y"},
        headers={"Authorization": f"Basic {pair}", "X-Forwarded-For": "198.51.100.7"},
    )

    assert (by_body.status_code, by_header.status_code) == (429, 429)
