import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.javascript import install_packages
from tests.support.person_at_browser import PersonAtBrowser
from tests.support.server_process import ROOT, DevServer, running_dev

Registered = dict[str, Any]  # Any: what the command printed.
Register = Callable[..., Registered]


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with running_dev(tmp_path_factory.mktemp("interop")) as running:
        yield running


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return install_packages(Path(__file__).parent)


@pytest.fixture
def register(dev: DevServer, tmp_path: Path) -> Register:
    """Register a client beside the running server, as its operator does."""

    def create(**metadata: object) -> Registered:
        file = tmp_path / "client.json"
        file.write_text(json.dumps(metadata))
        done = subprocess.run(
            [sys.executable, "-m", "idp", "client", "create", "--from", str(file), "--json"],
            cwd=dev.process.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "IDP_ISSUER": dev.issuer},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        registered: Registered = json.loads(done.stdout)
        return registered

    return create


@pytest.fixture
async def person(dev: DevServer) -> AsyncIterator[PersonAtBrowser]:
    """Somebody with an account and a passkey, signed in nowhere."""
    async with httpx.AsyncHTTPTransport() as transport:
        somebody = PersonAtBrowser(transport, issuer=dev.issuer)
        await somebody.sign_up(email="ada@example.com", name="Ada Lovelace")
        await somebody.take_another_browser()
        yield somebody
        await somebody.close()
