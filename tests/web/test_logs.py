"""What the log holds: one line for each event, no stranger's layout, and nothing that opens anything."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from idp.web.log import MAX_VALUE_LENGTH, clean
from tests.support import databases

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Logged:
    """What a process wrote, and what it knows of what it did."""

    lines: list[str]
    secrets: list[str]
    hostile_requests: int


def run(log_format: str, database_url: str, folder: Path) -> Logged:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.web.logged_flow", log_format, database_url, str(folder)],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    told = json.loads(done.stdout)
    lines = done.stderr.decode().removesuffix("\n").split("\n")
    return Logged(lines=lines, secrets=told["secrets"], hostile_requests=told["hostile_requests"])


@pytest.fixture(scope="module")
def json_log(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    folder = tmp_path_factory.mktemp("json")
    return run("json", databases.copy_sqlite(_sqlite_template, folder=folder), folder)


@pytest.fixture(scope="module")
def console_log(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    folder = tmp_path_factory.mktemp("console")
    return run("console", databases.copy_sqlite(_sqlite_template, folder=folder), folder)


def events(logged: Logged) -> list[dict[str, Any]]:  # Any: what JSON holds.
    return [json.loads(line) for line in logged.lines]


def test_no_secret_that_goes_by_is_in_the_log(json_log: Logged) -> None:
    text = "\n".join(json_log.lines)

    assert len(json_log.secrets) > 25
    assert [secret for secret in json_log.secrets if secret in text] == []
    assert "LOCAL-VARIABLE" not in text


def test_no_secret_is_in_the_log_of_the_libraries_either(console_log: Logged) -> None:
    text = "\n".join(console_log.lines)

    assert "DEBUG:aiosqlite" in text
    assert [secret for secret in console_log.secrets if secret in text] == []
    assert "LOCAL-VARIABLE" not in text


def test_every_event_is_one_line_of_json_whatever_strangers_send(json_log: Logged) -> None:
    for line in json_log.lines:
        assert line.isprintable(), line
        assert len(line) < 6000
    found = events(json_log)
    assert "forged" not in {event["event"] for event in found}
    assert {event["level"] for event in found} <= {"debug", "info", "warning", "error"}
    hostile = [event for event in found if event.get("path", "").startswith("/\\n{")]
    assert len(hostile) == 1
    long_paths = [event["path"] for event in found if event.get("path", "").startswith("/xxx")]
    assert [len(path) for path in long_paths] == [MAX_VALUE_LENGTH + 1]


def test_every_request_is_one_event_with_its_reference(json_log: Logged) -> None:
    requests = [event for event in events(json_log) if event["event"] == "request"]

    assert len({event["request_id"] for event in requests}) == len(requests)
    assert "forged" not in {event["request_id"] for event in requests}
    for event in requests:
        assert set(event) == {
            "event", "level", "timestamp", "request_id", "address", "method", "path", "status", "milliseconds"
        }  # fmt: skip
        assert "?" not in event["path"]
    assert len(requests) > json_log.hostile_requests


def test_the_cause_of_an_internal_error_is_there_without_its_variables(json_log: Logged) -> None:
    (failure,) = [event for event in events(json_log) if event["event"] == "internal_error"]

    assert failure["exception"][0]["exc_type"] == "HostileError"
    assert "locals" not in failure["exception"][0]["frames"][0]


def test_the_console_shows_a_traceback_that_cannot_pose_as_events(console_log: Logged) -> None:
    start = next(number for number, line in enumerate(console_log.lines) if "internal_error" in line)

    assert console_log.lines[start + 1] == "    | Traceback (most recent call last):"
    assert "HostileError" in "\n".join(console_log.lines[start:])
    for line in console_log.lines:
        assert "\x1b" not in line
        assert "\r" not in line
        if "forged" in line and not line.startswith("    | "):
            # Inside another event's value, escaped.
            assert "\\n" in line


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain \u00fc \U0001f511", "plain \u00fc \U0001f511"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u2028\u2029\u202e", "\\u2028\\u2029\\u202e"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        ("\udcff", "\\udcff"),
        ("x" * 1000, "x" * 300 + "\u2026"),
    ],
)
def test_control_and_direction_characters_are_spelt_out(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
