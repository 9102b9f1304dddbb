import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from idp.storage.database import Database
from tests.support import databases
from tests.support.frozen_clock import FrozenClock
from tests.support.postgresql import PostgresqlServer


class _WorkerNode(Protocol):
    """What pytest-xdist, which carries no types, hands to its hook."""

    config: pytest.Config
    workerinput: dict[str, Any]  # Any: whatever one process wants to tell the other.


# One PostgreSQL for the whole run: the controller of pytest-xdist starts it, its workers are told the port.
_SERVER = pytest.StashKey[PostgresqlServer]()
_PORT_FOR_WORKERS = "idp_postgresql_port"


def pytest_configure() -> None:
    # What a developer has set for the server at hand must not reach the servers that tests start.
    for name in _our_variables():
        del os.environ[name]


def _our_variables() -> list[str]:
    return [name for name in os.environ if name.upper().startswith("IDP_")]


def _port(config: pytest.Config) -> int:
    told: dict[str, int] = getattr(config, "workerinput", {})
    if _PORT_FOR_WORKERS in told:
        return told[_PORT_FOR_WORKERS]
    if _SERVER not in config.stash:
        server = PostgresqlServer()
        config.stash[_SERVER] = server
        server.start()
        databases.migrate_postgresql_template(server)
    return config.stash[_SERVER].port


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _WorkerNode) -> None:
    node.workerinput[_PORT_FOR_WORKERS] = _port(node.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVER in config.stash:
        config.stash[_SERVER].remove()


@pytest.fixture(autouse=True)
def _no_setting_stays_behind() -> Iterator[None]:
    yield
    assert not _our_variables(), (
        "a test left variables behind that configure the server; use monkeypatch.setenv"
    )


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return databases.migrate_sqlite_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    return databases.copy_sqlite(_sqlite_template, folder=tmp_path)


@pytest.fixture(scope="session")
def postgresql_port(request: pytest.FixtureRequest) -> int:
    return _port(request.config)


@pytest.fixture
def postgresql_url(postgresql_port: int) -> Iterator[str]:
    with databases.copied_postgresql(postgresql_port) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = databases.open_for_test(database_url)
    yield opened
    await opened.close()
