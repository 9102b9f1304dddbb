from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, Node, running_node


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(sqlite_url, clock, tmp_path) as running:
        yield running


async def test_a_password_manager_finds_where_passkeys_are_added_and_managed(node: Node) -> None:
    answer = await node.http.get("/.well-known/passkey-endpoints")

    assert answer.headers["content-type"] == "application/json"
    page = f"{ISSUER}/account#passkeys"
    assert answer.json() == {"enroll": page, "manage": page}


async def test_who_would_change_a_password_comes_to_the_passkeys(node: Node) -> None:
    answer = await node.http.get("/.well-known/change-password")

    assert (answer.status_code, answer.headers["location"]) == (302, "/account#passkeys")
