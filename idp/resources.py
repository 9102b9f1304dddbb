"""Finds the files that travel with the server: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_PACKAGED = _PACKAGE / "_resources"


def directory(name: str) -> Path:
    """Answer the folder `name` ("templates", "migrations" or "config") of this installation."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name
