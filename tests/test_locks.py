import json
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)
_ADDRESS = re.compile(r"https?://|--(?:extra-)?index-url|--find-links|--trusted-host| @ ")

LOCKS = [_ROOT / "requirements.lock", _ROOT / "tests" / "requirements.lock"]


def test_what_runs_is_locked_alike_for_tests() -> None:
    runtime, tests = (set(_PINNED.findall(lock.read_text())) for lock in LOCKS)

    assert runtime
    assert runtime <= tests


@pytest.mark.parametrize("lock", LOCKS, ids=["run", "test"])
def test_a_lock_names_no_address_to_fetch_from(lock: Path) -> None:
    assert not _ADDRESS.search(lock.read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=["run", "test"])
def test_every_locked_version_has_a_hash(lock: Path) -> None:
    requirements = re.split(r"\n(?=\S)", lock.read_text())
    pinned = [text for text in requirements if _PINNED.match(text)]

    assert pinned
    assert [text.splitlines()[0] for text in pinned if "--hash=sha256:" not in text] == []


def test_npms_locks_name_no_address_to_fetch_from() -> None:
    locks = [path for path in _ROOT.rglob("package-lock.json") if "node_modules" not in path.parts]

    assert locks
    for lock in locks:
        packages = json.loads(lock.read_text())["packages"].values()
        assert all("resolved" not in package for package in packages), lock
        assert all("integrity" in package for package in packages if "version" in package), lock
