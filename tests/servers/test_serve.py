"""`idp serve` as a process: what it refuses, and how it serves and ends."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from idp.keys.master_key import write_new_master_key
from tests.servers.test_dev import run_to_its_end
from tests.support.server_process import IdpProcess, free_port

READY_TIMEOUT_SECONDS = 30


@pytest.fixture
def prepared(tmp_path: Path, sqlite_url: str) -> dict[str, str]:
    """The environment of a migrated deployment with a master key."""
    write_new_master_key(tmp_path / "master.key")
    return {
        "IDP_DATABASE_URL": sqlite_url,
        "IDP_MASTER_KEY_FILE": f"{tmp_path}/master.key",
        "IDP_DATA_DIRECTORY": str(tmp_path),
        "IDP_ISSUER": "https://id.example.com",
        "IDP_LOG_FORMAT": "json",
    }


@contextmanager
def serving(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[tuple[IdpProcess, str]]:
    port = free_port()
    process = IdpProcess("serve", f"--port={port}", *arguments, folder=folder, environment=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not _is_ready(address):
            assert not process.has_ended, process.output
            assert time.monotonic() < deadline, process.output
            time.sleep(0.1)
        yield process, address
    finally:
        process.kill()


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=2).is_success
    except httpx.HTTPError:
        return False


def test_it_serves_for_its_issuer_and_ends_cleanly(tmp_path: Path, prepared: dict[str, str]) -> None:
    with serving(tmp_path, prepared) as (process, address):
        metadata = httpx.get(f"{address}/.well-known/openid-configuration")
        assert metadata.json()["issuer"] == "https://id.example.com"
        assert "server" not in metadata.headers
        assert "date" in metadata.headers
        assert process.stop(signal.SIGTERM) == 0
        assert "Traceback" not in process.output


def test_every_line_of_the_log_is_json_even_of_broken_requests(
    tmp_path: Path, prepared: dict[str, str]
) -> None:
    with serving(tmp_path, prepared) as (process, address):
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"\x00\x01 nonsense\r\n\r\n")
            assert stranger.recv(100).startswith(b"HTTP/1.1 400")
        assert process.stop(signal.SIGTERM) == 0
        lines = process.output.splitlines()
        assert lines
        assert all(line.startswith("{") for line in lines), process.output
        assert any("Invalid HTTP request" in line for line in lines)


def test_a_forwarded_address_is_not_believed_from_strangers(tmp_path: Path, prepared: dict[str, str]) -> None:
    with serving(tmp_path, prepared) as (process, address):
        httpx.get(
            f"{address}/login", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        )
        assert process.stop(signal.SIGTERM) == 0
        assert "203.0.113.9" not in process.output


def test_a_missing_master_key_is_refused(tmp_path: Path, prepared: dict[str, str]) -> None:
    prepared["IDP_MASTER_KEY_FILE"] = f"{tmp_path}/nowhere.key"
    code, printed = run_to_its_end(tmp_path, "serve", f"--port={free_port()}", **prepared)
    assert code == 1
    assert "there is no master key" in printed
    assert len(printed.splitlines()) == 1


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path, prepared: dict[str, str]) -> None:
    (tmp_path / "master.key").chmod(0o644)
    code, printed = run_to_its_end(tmp_path, "serve", f"--port={free_port()}", **prepared)
    assert code == 1
    assert "chmod 600" in printed


def test_a_database_that_was_not_migrated_is_refused_and_not_created(
    tmp_path: Path, prepared: dict[str, str]
) -> None:
    prepared["IDP_DATABASE_URL"] = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    code, printed = run_to_its_end(tmp_path, "serve", f"--port={free_port()}", **prepared)
    assert code == 1
    assert "run idp migrate" in printed
    assert not (tmp_path / "other.db").exists()


def test_an_http_issuer_for_others_is_refused(tmp_path: Path, prepared: dict[str, str]) -> None:
    prepared["IDP_ISSUER"] = "http://id.example.com"
    code, printed = run_to_its_end(tmp_path, "serve", f"--port={free_port()}", **prepared)
    assert code == 1
    assert "IDP_ISSUER" in printed


def test_several_workers_on_an_embedded_database_are_refused(
    tmp_path: Path, prepared: dict[str, str]
) -> None:
    code, printed = run_to_its_end(tmp_path, "serve", "--workers=2", f"--port={free_port()}", **prepared)
    assert code == 1
    assert "PostgreSQL" in printed
    assert len(printed.splitlines()) == 1


def test_a_taken_port_names_the_port_and_the_option(tmp_path: Path, prepared: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, printed = run_to_its_end(tmp_path, "serve", f"--port={port}", **prepared)
    assert code == 1
    assert printed.splitlines() == [
        f"idp: port {port} is in use; stop what uses it, or choose another with --port"
    ]


def test_workers_share_one_port_read_one_configuration_and_all_end(
    tmp_path: Path, prepared: dict[str, str], postgresql_url: str
) -> None:
    prepared["IDP_DATABASE_URL"] = postgresql_url
    settings = tmp_path / "elsewhere.toml"
    settings.write_text('service_name = "Elsewhere"\n')
    prepared["IDP_CONFIG"] = str(settings)
    with serving(tmp_path, prepared, "--workers=2") as (process, address):
        assert all("Elsewhere" in httpx.get(f"{address}/login").text for _ in range(8))
        workers = _children(process.pid)
        assert len(workers) >= 2
        assert process.stop(signal.SIGTERM) == 0
        assert "Traceback" not in process.output
        deadline = time.monotonic() + 5
        while any(_is_running(pid) for pid in workers):
            assert time.monotonic() < deadline, "a worker outlives its server"
            time.sleep(0.05)


def test_an_issuer_that_the_database_does_not_know_is_refused_before_any_worker(
    tmp_path: Path, prepared: dict[str, str], postgresql_url: str
) -> None:
    prepared["IDP_DATABASE_URL"] = postgresql_url
    with serving(tmp_path, prepared) as (process, _):
        assert process.stop() == 0
    prepared["IDP_ISSUER"] = "https://other.example.com"
    code, printed = run_to_its_end(tmp_path, "serve", "--workers=2", f"--port={free_port()}", **prepared)
    assert code == 1
    assert "belongs to another issuer" in printed
    assert len(printed.splitlines()) == 1


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"
