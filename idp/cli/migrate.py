import asyncio
from pathlib import Path

import typer

from idp.cli import context
from idp.cli.context import Refusal
from idp.storage import migration
from idp.storage.database import sqlite_file

EXAMPLE = "Example: idp migrate"


def migrate(ctx: typer.Context) -> None:
    """Bring the database to the newest schema; safe to run from several nodes at once."""
    url = context.settings_of(ctx).database_url
    make_place(sqlite_file(url))
    before = asyncio.run(migration.migrate(url))
    if before.is_newest:
        typer.echo(f"The database already has the newest schema, {before.newest}.")
    else:
        typer.echo(f"The database now has schema {before.newest} (it was {before.current or 'empty'}).")


def make_place(file: str | None) -> None:
    """Make an embedded database's folder and file, for their owner alone; nothing for PostgreSQL."""
    if file is None:
        return
    try:
        Path(file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here, and for its owner alone: what an embedded database holds is nobody else's to read.
        Path(file).touch(mode=0o600, exist_ok=True)
    except OSError as fault:
        raise Refusal(f"the database {file} cannot be created: {fault.strerror}") from fault
