"""`/metrics`: for this machine alone, and never with a stranger's words in it."""

import httpx
import pytest

from tests.support.node import ISSUER, App, Node, Person


def caller(node: Node, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(node.provider.asgi, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url=ISSUER)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_numbers_are_for_callers_on_this_machine(sqlite_node: Node, address: str) -> None:
    async with caller(sqlite_node, address) as local:
        response = await local.get("/metrics")

    assert response.status_code == 200
    assert "idp_requests_total" in response.text


@pytest.mark.parametrize("address", ["203.0.113.7", "10.0.0.1", "2001:db8::1"])
async def test_numbers_are_for_nobody_else(sqlite_node: Node, address: str) -> None:
    async with caller(sqlite_node, address) as stranger:
        assert (await stranger.get("/metrics")).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_a_proxy_on_this_machine_speaks_for_strangers(sqlite_node: Node, header: str) -> None:
    async with caller(sqlite_node, "127.0.0.1") as proxy:
        assert (await proxy.get("/metrics", headers={header: "127.0.0.1"})).status_code == 404


async def test_paths_and_methods_of_strangers_are_counted_as_other(sqlite_node: Node) -> None:
    async with caller(sqlite_node, "127.0.0.1") as local:
        await local.request("BREW", "/pot-a-secret")
        text = (await local.get("/metrics")).text

    assert "pot-a-secret" not in text
    assert "BREW" not in text
    assert 'idp_requests_total{method="other",path="other",status="404"}' in text


async def test_security_events_are_counted_by_their_words(sqlite_node: Node) -> None:
    app: App = await sqlite_node.app()
    person: Person = await sqlite_node.person()
    await sqlite_node.allow(app, person)

    async with caller(sqlite_node, "127.0.0.1") as local:
        text = (await local.get("/metrics")).text

    assert 'idp_events_total{event="consent_given",outcome="success",reason=""}' in text
