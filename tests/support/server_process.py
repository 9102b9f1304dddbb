"""Real `idp` servers in processes of their own, on free ports and a folder of their own, ended by id."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 15
# One test browser does in a second what a person does in minutes.
UNHURRIED = {
    "IDP_RATE_LIMIT__SIGN_IN": "6000 per minute",
    "IDP_RATE_LIMIT__CEREMONY": "6000 per minute",
    "IDP_RATE_LIMIT__MAIL": "600 per minute",
}


def free_port() -> int:
    """Answer a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class IdpProcess:
    """One run of the `idp` command."""

    def __init__(self, *arguments: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._log = folder / f"output-{time.monotonic_ns()}.log"
        # If the tests are killed, the server ends with them (where setpriv exists).
        setpriv = shutil.which("setpriv")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *([setpriv, "--pdeathsig=KILL"] if setpriv else []),
                    *(sys.executable, "-m", "idp", *arguments),
                ],
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    "PYTHONUNBUFFERED": "1",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C is pytest's to handle.
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_for(self, text: str) -> None:
        """Wait until it prints the text."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while text not in self.output:
            assert not self.has_ended, f"idp ended at once:\n{self.output}"
            assert time.monotonic() < deadline, f"idp did not get ready:\n{self.output}"
            time.sleep(0.05)

    def wait(self) -> int:
        """Wait until it ends by itself; answer its exit code."""
        return self._process.wait(START_TIMEOUT_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end and answer its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once, and the workers that it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True)
class DevServer:
    """A running `idp dev`."""

    process: IdpProcess
    issuer: str
    demo: str

    @property
    def first_administrator_link(self) -> str | None:
        """The link that it printed, if it printed one."""
        found = re.search(r"http://\S+/enrol\?token=\S+", self.process.output)
        return found[0] if found else None


@contextmanager
def running_dev(
    folder: Path, *, database_url: str | None = None, ports: tuple[int, int] | None = None
) -> Iterator[DevServer]:
    """Run `idp dev` on an embedded database in the folder, or on the one named."""
    provider_port, demo_port = ports or (free_port(), free_port())
    issuer = f"http://localhost:{provider_port}"
    environment = {"IDP_ISSUER": issuer, **UNHURRIED}
    if database_url:
        environment["IDP_DATABASE_URL"] = database_url
    process = IdpProcess("dev", f"--demo-port={demo_port}", folder=folder, environment=environment)
    try:
        process.wait_for("Ctrl-C stops both")
        yield DevServer(process, issuer, f"http://localhost:{demo_port}")
        assert process.stop() == 0, process.output
        assert "Traceback" not in process.output
    finally:
        process.kill()
