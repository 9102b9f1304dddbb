from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.frozen_clock import FrozenClock
from tests.support.node import App, Node, Person, running_node


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(sqlite_url, clock, tmp_path) as running:
        yield running


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app()


@pytest.fixture
async def person(node: Node) -> Person:
    return await node.person()
