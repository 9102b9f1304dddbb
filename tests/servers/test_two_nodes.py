"""Two server processes on one PostgreSQL: whatever both are asked at once, one generation is made."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from idp.clients import registration
from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, VERIFIER, App, Node, Person, running_node
from tests.support.server_process import IdpProcess, free_port

PARALLEL = 64


@dataclass
class Pair:
    """Two servers, and a node in this process to seed and read the same database with."""

    node: Node
    clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    app: App
    person: Person

    async def ask_everywhere(self, form: dict[str, str]) -> list[httpx.Response]:
        """Send the same request many times at once, half of it to each server."""
        auth = httpx.BasicAuth(self.app.id, self.app.secret or "")
        return await asyncio.gather(
            *(self.clients[i % 2].post("/token", data=form, auth=auth) for i in range(PARALLEL))
        )


@pytest.fixture
async def pair(postgresql_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    environment = {
        "IDP_ISSUER": ISSUER,
        "IDP_DATABASE_URL": postgresql_url,
        "IDP_MASTER_KEY_FILE": str(tmp_path / "master.key"),
        "IDP_DATA_DIRECTORY": str(tmp_path),
    }
    servers: list[IdpProcess] = []
    # The processes go by the real time.
    async with running_node(postgresql_url, FrozenClock(datetime.now(UTC)), tmp_path) as node:
        try:
            clients = []
            for _ in range(2):
                port = free_port()
                server = IdpProcess("serve", "--port", str(port), folder=tmp_path, environment=environment)
                servers.append(server)
                server.wait_for("serving")
                clients.append(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30))
            app = await node.app(first_party=True)
            yield Pair(node, (clients[0], clients[1]), app, await node.person())
            for client in clients:
                await client.aclose()
        finally:
            for server in servers:
                server.kill()


async def test_one_code_redeemed_many_times_at_once_makes_one_family_at_most(pair: Pair) -> None:
    code = await pair.node.code(pair.app, pair.person)

    responses = await pair.ask_everywhere(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pair.app.redirect_uri,
            "code_verifier": VERIFIER,
        }
    )

    given = [response.json() for response in responses if response.status_code == 200]
    refused = {response.json()["error"] for response in responses if response.status_code != 200}
    assert len(given) == 1
    assert refused == {"invalid_grant"}
    assert (await pair.node.grant(given[0])).generation == 1


async def test_one_refresh_token_rotated_many_times_at_once_has_one_successor(pair: Pair) -> None:
    tokens = await pair.node.tokens(pair.app, pair.person)

    responses = await pair.ask_everywhere(
        {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    )

    successors = {r.json()["refresh_token"] for r in responses if r.status_code == 200}
    assert len(successors) == 1
    assert {r.status_code for r in responses} <= {200, 400}
    assert (await pair.node.grant(tokens)).generation == 2


async def test_a_client_disabled_on_one_node_is_refused_by_the_other_within_a_second(pair: Pair) -> None:
    tokens = await pair.node.tokens(pair.app, pair.person)
    now = datetime.now(UTC)
    await pair.node.provider.database.transact(registration.disable, client_id=pair.app.id, now=now)
    await asyncio.sleep(1.1)

    responses = await pair.ask_everywhere(
        {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    )

    assert {r.status_code for r in responses} == {401}
