"""An installed wheel works from any directory: what the server reads at run time travels in it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    # The dependencies are those of the tests' own environment; idp itself comes from the wheel alone.
    venv.create(folder / "venv", with_pip=True, system_site_packages=False)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
    )
    return folder / "venv" / "bin"


def run(installed: Path, folder: Path, *arguments: str) -> str:
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [installed / "python", "-c", _START, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "DEPENDENCIES": dependencies},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


# The wheel's own folder comes first; the tests' environment, which has idp by reference, only lends the rest.
_START = """
import os, sys
sys.path.append(os.environ["DEPENDENCIES"])
import idp
assert "venv" in idp.__file__, idp.__file__
from idp.cli import main
main(sys.argv[1:])
"""


def test_commands_work_far_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "keys", "new-master-key", "var/master.key")
    run(installed, tmp_path, "migrate")
    run(installed, tmp_path, "client", "create", "--name", "App", "--redirect-uri", "https://app.example/cb")

    assert "App" in run(installed, tmp_path, "client", "list")
    assert (tmp_path / "var" / "idp.db").is_file()


def test_templates_static_files_and_default_settings_travel_in_it(installed: Path) -> None:
    (package,) = (installed.parent / "lib").glob("python*/site-packages/idp")

    assert (package / "_resources" / "templates" / "login.html").is_file()
    assert (package / "_resources" / "config" / "idp.toml").is_file()
    assert (package / "_resources" / "migrations" / "env.py").is_file()
    assert (package / "web" / "static" / "style.css").is_file()
