"""The servers under load, each a process of its own on the measured core."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.accounting import ProcessTree
from bench.profiles import Paths

ROOT = Path(__file__).parents[1]
PEER = Path(__file__).parent / "peer"
OUR_PATHS = Paths("/authorize", "/token", "/introspect", "/userinfo", "/jwks")
PEER_PATHS = Paths("/auth", "/token", "/token/introspection", "/me", "/jwks")
PEER_RESOURCE = "https://api.example"
START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 15
# As in production, but for the limits that one machine's load would meet: it counts all the same.
UNLIMITED = "100000000 per minute"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    port: int
    tree: ProcessTree
    seconds_to_ready: float


@contextmanager
def ours(
    port: int, *, database_url: str, master_key_file: Path, folder: Path, core: int | None
) -> Iterator[Server]:
    """Run `idp serve` with everything that production has: JSON log, audit, limits, headers."""
    environment = {
        "IDP_ISSUER": f"http://localhost:{port}",
        "IDP_DATABASE_URL": database_url,
        "IDP_MASTER_KEY_FILE": str(master_key_file),
        "IDP_DATA_DIRECTORY": str(folder),
        "IDP_LOG_FORMAT": "json",
        "IDP_RATE_LIMIT__TOKEN": UNLIMITED,
        "IDP_RATE_LIMIT__SIGN_IN": UNLIMITED,
        "IDP_RATE_LIMIT__CEREMONY": UNLIMITED,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "idp", "serve", f"--port={port}"]
    yield from _running("idp", command, environment, port=port, path="/readyz", folder=folder, core=core)


@contextmanager
def peer(port: int, *, database_url: str, client_secret: str, folder: Path, core: int) -> Iterator[Server]:
    """Run oidc-provider on its own database of the same PostgreSQL, with the same number of connections."""
    environment = {
        "NODE_ENV": "production",
        "PEER_PORT": str(port),
        "PEER_DATABASE_URL": database_url.replace("postgresql+asyncpg:", "postgresql:"),
        "PEER_POOL_SIZE": "10",
        "PEER_CLIENT_SECRET": client_secret,
    }
    command = ["node", str(PEER / "server.js")]
    yield from _running("peer", command, environment, port=port, path="/jwks", folder=folder, core=core)


def new_client_secret() -> str:
    """Draw a secret for the peer's client."""
    return secrets.token_urlsafe(32)


def _running(
    name: str,
    command: list[str],
    environment: Mapping[str, str],
    *,
    port: int,
    path: str,
    folder: Path,
    core: int | None,
) -> Iterator[Server]:
    pinned = ["taskset", "--cpu-list", str(core), *command] if core is not None else command
    started = time.monotonic()
    with (folder / f"{name}-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            pinned,
            env={"PATH": os.environ["PATH"], **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}{path}", log=Path(log.name))
        yield Server(name, port, ProcessTree(process.pid), time.monotonic() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, *, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise RuntimeError(f"the server did not get ready: {log.read_text()[-2000:]}")
