"""`idp dev` as a process: what it makes, prints and refuses, and how it ends."""

import json
import signal
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import DevServer, IdpProcess, free_port, running_dev


@pytest.fixture
def occupied_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


def run_to_its_end(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a server that refuses; answer its exit code and all that it printed."""
    process = IdpProcess(*arguments, folder=folder, environment=environment)
    try:
        return process.wait(), process.output
    finally:
        process.kill()


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_it_makes_what_it_needs_for_its_owner_alone(tmp_path: Path, ports: tuple[int, int]) -> None:
    with running_dev(tmp_path, ports=ports):
        pass
    var = tmp_path / "var"
    assert mode_of(var) == 0o700
    for name in ("idp.db", "master.key", "demo-client.json"):
        assert mode_of(var / name) == 0o600, name


def test_it_prints_both_addresses_and_the_first_administrators_link(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    with running_dev(tmp_path, ports=ports) as dev:
        assert f"http://localhost:{ports[0]}" in dev.process.output
        assert f"http://localhost:{ports[1]}" in dev.process.output
        link = dev.first_administrator_link
        assert link is not None
        assert httpx.get(link).status_code == 200
        assert httpx.get(f"{dev.issuer}/readyz").status_code == 200
        assert "Sign in" in httpx.get(dev.demo).text


def test_both_addresses_of_localhost_answer(tmp_path: Path, ports: tuple[int, int]) -> None:
    families = {info[0] for info in socket.getaddrinfo("localhost", ports[0], type=socket.SOCK_STREAM)}
    with running_dev(tmp_path, ports=ports):
        for family in families:
            with socket.socket(family) as client:
                client.connect(("localhost", ports[0]))


def test_a_second_start_keeps_keys_clients_and_secret(tmp_path: Path, ports: tuple[int, int]) -> None:
    seen = []
    for _ in range(2):
        with running_dev(tmp_path, ports=ports) as dev:
            seen.append(
                (
                    httpx.get(f"{dev.issuer}/jwks").json(),
                    (tmp_path / "var" / "demo-client.json").read_text(),
                    (tmp_path / "var" / "master.key").read_text(),
                )
            )
    assert seen[0] == seen[1]


def test_a_lost_demo_secret_is_replaced_and_a_new_port_registered(tmp_path: Path) -> None:
    with running_dev(tmp_path) as dev:
        issuer_port = int(dev.issuer.rpartition(":")[2])
    file = tmp_path / "var" / "demo-client.json"
    before = json.loads(file.read_text())["client_secret"]
    file.unlink()
    with running_dev(tmp_path, ports=(issuer_port, free_port())) as dev:
        after = json.loads(file.read_text())["client_secret"]
        assert after != before
        assert token_error(dev, secret=before) == "invalid_client"
        assert token_error(dev, secret=after) == "invalid_grant"
        sign_in = httpx.get(f"{dev.demo}/sign-in")
        assert httpx.get(sign_in.headers["location"]).status_code == 303


def token_error(dev: DevServer, *, secret: str) -> object:
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    return httpx.post(f"{dev.issuer}/token", data=form, auth=("demo", secret)).json()["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_though_a_browser_holds_connections(
    tmp_path: Path, ports: tuple[int, int], number: signal.Signals
) -> None:
    with running_dev(tmp_path, ports=ports) as dev, httpx.Client() as browser:
        browser.get(f"{dev.issuer}/healthz")
        browser.get(dev.demo)
        begun = time.monotonic()
        assert dev.process.stop(number) == 0
        assert time.monotonic() - begun < 3
        assert "Traceback" not in dev.process.output


def test_a_taken_port_of_the_provider_names_the_port_and_the_setting(
    tmp_path: Path, occupied_port: int
) -> None:
    code, printed = run_to_its_end(tmp_path, "dev", IDP_ISSUER=f"http://localhost:{occupied_port}")
    assert code == 1
    remedy = "set IDP_ISSUER to an address with another port"
    assert printed.splitlines() == [f"idp: port {occupied_port} is in use; stop what uses it, or {remedy}"]
    assert not (tmp_path / "var").exists()


def test_a_taken_port_of_the_demo_names_the_port_and_the_option(tmp_path: Path, occupied_port: int) -> None:
    code, printed = run_to_its_end(
        tmp_path, "dev", f"--demo-port={occupied_port}", IDP_ISSUER=f"http://localhost:{free_port()}"
    )
    assert code == 1
    assert printed.splitlines() == [
        f"idp: port {occupied_port} is in use; stop what uses it, or choose another with --demo-port"
    ]


def test_one_port_cannot_be_both(tmp_path: Path) -> None:
    port = free_port()
    code, printed = run_to_its_end(
        tmp_path, "dev", f"--demo-port={port}", IDP_ISSUER=f"http://localhost:{port}"
    )
    assert code == 1
    assert "choose another with --demo-port" in printed


def test_a_second_server_on_the_embedded_database_is_refused(tmp_path: Path) -> None:
    with running_dev(tmp_path):
        for command in (["dev", f"--demo-port={free_port()}"], ["serve", f"--port={free_port()}"]):
            code, printed = run_to_its_end(tmp_path, *command, IDP_ISSUER=f"http://localhost:{free_port()}")
            assert code == 1
            assert len(printed.splitlines()) == 1, printed
            assert "another server process uses var/idp.db" in printed
            assert "PostgreSQL" in printed


def test_commands_work_beside_a_running_server(tmp_path: Path) -> None:
    with running_dev(tmp_path):
        process = IdpProcess("client", "list", folder=tmp_path, environment={})
        assert process.wait() == 0
        assert "Demo App" in process.output


def test_a_server_that_was_killed_leaves_the_database_free(tmp_path: Path, ports: tuple[int, int]) -> None:
    first = IdpProcess(
        "dev",
        f"--demo-port={ports[1]}",
        folder=tmp_path,
        environment={"IDP_ISSUER": f"http://localhost:{ports[0]}"},
    )
    first.wait_for("Ctrl-C stops both")
    first.kill()
    with running_dev(tmp_path, ports=ports) as dev:
        assert httpx.get(f"{dev.issuer}/readyz").status_code == 200


@pytest.mark.parametrize("issuer", ["https://id.example.com", "http://id.example.com"])
def test_an_issuer_for_others_is_refused(tmp_path: Path, issuer: str) -> None:
    code, printed = run_to_its_end(tmp_path, "dev", IDP_ISSUER=issuer)
    assert code == 1
    assert "issuer" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "var").exists()


def test_another_issuers_database_is_left_alone(tmp_path: Path) -> None:
    with running_dev(tmp_path):
        pass
    code, printed = run_to_its_end(
        tmp_path, "dev", f"--demo-port={free_port()}", IDP_ISSUER=f"http://localhost:{free_port()}"
    )
    assert code == 1
    assert "belongs to another issuer" in printed
    assert len(printed.splitlines()) == 1


def test_another_master_key_is_refused_in_one_line(tmp_path: Path, ports: tuple[int, int]) -> None:
    with running_dev(tmp_path, ports=ports):
        pass
    (tmp_path / "var" / "master.key").unlink()
    code, printed = run_to_its_end(
        tmp_path, "dev", f"--demo-port={ports[1]}", IDP_ISSUER=f"http://localhost:{ports[0]}"
    )
    assert code == 1
    assert "master_key_file" in printed
    assert len(printed.splitlines()) == 1


def test_once_there_is_an_administrator_no_link_is_printed(tmp_path: Path, ports: tuple[int, int]) -> None:
    with running_dev(tmp_path, ports=ports) as dev:
        assert dev.first_administrator_link
    with sqlite3.connect(tmp_path / "var" / "idp.db") as database:
        # What the first passkey of the enrolled administrator does to the account.
        database.execute("UPDATE accounts SET status = 'active' WHERE role = 'owner'")
    database.close()
    with running_dev(tmp_path, ports=ports) as dev:
        assert dev.first_administrator_link is None
