"""A private PostgreSQL cluster: for tests, and for benchmarks and fault tests with options of their own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

SUPERUSER = "postgres"
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 60

# Lost after a crash of the machine, never of the server: what tests of behaviour need.
FAST: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum": "off",
}

StopMode = Literal["smart", "fast", "immediate"]
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresqlError(Exception):
    """The server could not be found, started or asked; the message says why."""


def find_binaries() -> Path:
    """Answer the folder of PostgreSQL's server programs, the newest one installed."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    if config := shutil.which("pg_config"):
        answer = subprocess.run([config, "--bindir"], check=True, capture_output=True, text=True)
        candidates.append(Path(answer.stdout.strip()))
    if server := shutil.which("postgres"):
        candidates.append(Path(server).resolve().parent)
    for folder in candidates:
        if all((folder / program).is_file() for program in ("initdb", "postgres", "psql")):
            return folder
    raise PostgresqlError("PostgreSQL's server programs are not installed; tests/provision.sh installs them")


class PostgresqlServer:
    """One cluster in a temporary folder, on a socket in that folder and on a loopback port.

    It can be stopped and started again on the same data and port; `remove` leaves nothing behind. As root
    the server runs as `postgres` or, without such a user, as `nobody`. If this process is killed, the server
    stops by itself (where `setpriv` exists).
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="idp-postgresql-"))
        self.port = _free_port()
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._binaries = find_binaries()
        self._account = _account_for_server()
        self._process: subprocess.Popen[bytes] | None = None
        if self._account:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def start(self, options: Mapping[str, str] = FAST) -> None:
        """Start the server with `options` (names and values of postgresql.conf) and wait until it answers."""
        if self._process is not None:
            raise PostgresqlError("the server is already running")
        if not self._data.exists():
            self._initialise()
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            **options,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_account(), str(self._binaries / "postgres"), "-D", str(self._data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # A terminal's Ctrl-C is pytest's to handle: the server outlives it until it is stopped.
                start_new_session=True,
            )
        self._wait_until_ready()

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server, if it runs: `fast` rolls back what is open, `immediate` is a crash."""
        if self._process is None:
            return
        self._process.send_signal(_SIGNALS[mode])
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop the server and delete the cluster."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Answer the address of a database, as `IDP_DATABASE_URL` wants it."""
        return f"postgresql+asyncpg://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database, empty or a copy of `template`; answer its address."""
        create_database(self.port, name, template=template)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        drop_database(self.port, name)

    def _initialise(self) -> None:
        answer = subprocess.run(
            [
                *self._as_account(),
                str(self._binaries / "initdb"),
                f"--pgdata={self._data}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        if answer.returncode != 0:
            raise PostgresqlError(f"initdb failed: {answer.stderr or answer.stdout}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                self._process = None
                raise PostgresqlError(f"the server ended at once: {self._log.read_text()[-2000:]}")
            if _answers(self._binaries, self.port):
                return
            time.sleep(0.05)
        self.stop("immediate")
        raise PostgresqlError(f"the server did not answer: {self._log.read_text()[-2000:]}")

    def _as_account(self) -> list[str]:
        """Answer the words before a command that make it the server's user's, and end it with its parent."""
        setpriv = shutil.which("setpriv")
        if self._account is None:
            return [setpriv, "--pdeathsig=INT"] if setpriv else []
        if setpriv is None:
            raise PostgresqlError(
                "as root, `setpriv` (util-linux) is needed to run the server as another user"
            )
        user, group = self._account.pw_uid, self._account.pw_gid
        return [setpriv, f"--reuid={user}", f"--regid={group}", "--clear-groups", "--pdeathsig=INT"]


def create_database(port: int, name: str, *, template: str | None = None) -> None:
    """Create a database on the loopback server at `port`, empty or a copy of `template`."""
    copied = f' TEMPLATE "{template}"' if template else ""
    _psql(port, f'CREATE DATABASE "{name}"{copied}')


def drop_database(port: int, name: str) -> None:
    """Drop a database of the loopback server at `port`, whoever is connected to it."""
    _psql(port, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _psql(port: int, statement: str) -> None:
    # psql needs no event loop, so synchronous fixtures and commands may call this as well.
    answer = subprocess.run(
        [
            str(find_binaries() / "psql"),
            "--no-psqlrc",
            "--quiet",
            "--host=127.0.0.1",
            f"--port={port}",
            f"--username={SUPERUSER}",
            "--dbname=postgres",
            f"--command={statement}",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if answer.returncode != 0:
        raise PostgresqlError(answer.stderr.strip())


def _answers(binaries: Path, port: int) -> bool:
    # pg_isready tells "starting up" from "accepting"; an open port alone does not.
    command = [str(binaries / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    return subprocess.run(command, check=False).returncode == 0


def _account_for_server() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    account = accounts.get("postgres") or accounts.get("nobody")
    if account is None:
        raise PostgresqlError(
            "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`"
        )
    return account


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
