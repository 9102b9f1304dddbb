from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.frozen_clock import FrozenClock
from tests.support.node import App, Node, Person, running_node


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    # A test may send many requests; the limits have tests of their own.
    generous = {"sign_in": "100000 per minute", "client_failures": "100000 per minute"}
    async with running_node(sqlite_url, clock, tmp_path, rate_limit=generous) as running:
        yield running


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app()


@pytest.fixture
async def person(node: Node) -> Person:
    return await node.person()
