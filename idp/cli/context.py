"""What every command needs: the settings, an open database, and a plain way to print."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from idp.clock import Clock, system_clock
from idp.settings import Settings, load_settings
from idp.storage.database import Database, open_database, sqlite_file
from idp.storage.migration import schema_state

T = TypeVar("T")

ACTOR = "cli"
"""Who the audit log says it was: whoever may run commands on this machine."""


class Refusal(Exception):  # noqa: N818 - a refusal is the command's answer, not its error
    """The command was refused; the message is the one line that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with."""

    settings: Settings
    database: Database
    clock: Clock


def settings_of(ctx: typer.Context) -> Settings:
    """Read the settings from where `--config` points; raises SettingsError."""
    config: Path | None = ctx.find_root().obj
    return load_settings(config)


def run(ctx: typer.Context, act: Callable[[Opened], Awaitable[T]]) -> T:
    """Open the database, run `act` and close it again; refused unless the schema is the newest."""
    settings = settings_of(ctx)
    return asyncio.run(_run(settings, act))


async def _run(settings: Settings, act: Callable[[Opened], Awaitable[T]]) -> T:
    await require_newest_schema(settings.database_url)
    database = open_database(
        settings.database_url,
        pool_size=1,  # One command does one thing at a time.
        timeout_seconds=settings.database.timeout_seconds,
    )
    try:
        return await act(Opened(settings=settings, database=database, clock=system_clock))
    finally:
        await database.close()


async def require_newest_schema(url: str) -> None:
    """Refuse to go on with a database that `idp migrate` has not brought to the newest schema."""
    file = sqlite_file(url)
    # To ask an embedded database is to create it, so look first.
    if file is not None and not os.access(file, os.R_OK | os.W_OK):
        what = (
            "cannot be read and written" if os.access(file, os.F_OK) else "is not there yet; run idp migrate"
        )
        raise Refusal(f"the database {file} {what}")
    state = await schema_state(url)
    if not state.is_newest:
        present = state.current or "empty"
        raise Refusal(f"the database schema is {present}, not {state.newest}; run idp migrate")


def print_json(value: object) -> None:
    """Print a value for programs."""
    typer.echo(json.dumps(value, indent=2))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values for people, a line each."""
    for name, value in fields.items():
        typer.echo(f"{name}: {_plain(value)}")


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows for people, in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "-"
    return str(value) if value not in {None, ""} else "-"
