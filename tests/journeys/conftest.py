from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.journeys.visitor import Visitor, running_chromium
from tests.support import databases
from tests.support.server_process import DevServer, running_dev


@pytest.fixture(scope="module")
# PostgreSQL comes first: to migrate its template takes an event loop, and Playwright keeps one running.
def chromium(postgresql_port: int) -> Iterator[Browser]:  # noqa: ARG001 - as above
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """`idp dev` on an embedded database."""
    with running_dev(tmp_path_factory.mktemp("dev")) as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def dev_on_either(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DevServer]:
    """`idp dev` on an embedded database, then on PostgreSQL."""
    folder: Path = tmp_path_factory.mktemp("dev")
    with ExitStack() as stack:
        url = None
        if request.param == "postgresql":
            port: int = request.getfixturevalue("postgresql_port")
            url = stack.enter_context(databases.copied_postgresql(port))
        yield stack.enter_context(running_dev(folder, database_url=url))


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Visitor]:
    """A person at a desk; at the end, no script failed and no page broke its policy."""
    with Visitor(chromium) as person:
        yield person
        assert person.faults == []
