from pathlib import Path
from typing import Annotated

import typer

from idp.cli import context
from idp.cli.context import Opened, Refusal
from idp.keys.master_key import load_master_key, write_new_master_key
from idp.keys.rotation import generate_key, retire_now, rotate_now
from idp.keys.timetable import Timetable, state_of
from idp.storage import signing_keys
from idp.storage.signing_keys import SigningKeyRow

app = typer.Typer(help="Look after the signing keys and the master key.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog="Example: idp keys list --json")
def list_keys(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List the signing keys with their states and times."""

    async def act(opened: Opened) -> list[dict[str, str | None]]:
        rows = await opened.database.read(signing_keys.listed)
        return [_fields(row, state=state_of(row, now=opened.clock())) for row in rows]

    keys = context.run(ctx, act)
    if as_json:
        context.print_json(keys)
        return
    headings = ("KID", "STATE", "SIGNS FROM", "UNTIL", "LEAVES THE JWKS")
    names = ("kid", "state", "activates_at", "retires_at", "gone_at")
    context.print_table(headings, [tuple(key[name] or "-" for name in names) for key in keys])


@app.command(epilog="Example: idp keys rotate")
def rotate(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Plan the next key for as soon as every verifier can know it."""

    async def act(opened: Opened) -> SigningKeyRow:
        settings = opened.settings
        fresh = generate_key(
            rsa_bits=settings.keys.rsa_bits, master_key=load_master_key(settings.master_key_file)
        )
        return await opened.database.transact(
            rotate_now, fresh=fresh, timetable=Timetable.from_settings(settings), now=opened.clock()
        )

    _print(context.run(ctx, act), as_json=as_json)


@app.command(epilog="Example: idp keys retire NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
def retire(
    ctx: typer.Context,
    kid: Annotated[str, typer.Argument(show_default=False, help="The key's identifier (idp keys list).")],
    *,
    as_json: Json = False,
) -> None:
    """Withdraw a leaked key at once: everything that it signed is worthless from now on."""

    async def act(opened: Opened) -> SigningKeyRow:
        settings = opened.settings
        fresh = generate_key(
            rsa_bits=settings.keys.rsa_bits, master_key=load_master_key(settings.master_key_file)
        )
        successor = await opened.database.transact(retire_now, kid, fresh=fresh, now=opened.clock())
        if successor is None:
            raise Refusal(f"there is no key {kid} to retire; idp keys list shows them")
        return successor

    _print(context.run(ctx, act), as_json=as_json)


@app.command("new-master-key", epilog="Example: idp keys new-master-key /etc/idp/master.key")
def new_master_key(
    file: Annotated[Path, typer.Argument(show_default=False, help="Where to write it; must not exist.")],
) -> None:
    """Write a new master key: 32 random bytes as base64url on one line, mode 0600."""
    write_new_master_key(file)
    typer.echo(f"Wrote {file}. Keep a copy apart from the database's backups: neither is of use alone.")


def _print(row: SigningKeyRow, *, as_json: bool) -> None:
    fields = _fields(row, state=None)
    if as_json:
        context.print_json(fields)
    else:
        context.print_fields({"signing key": row.kid, "signs from": fields["activates_at"]})


def _fields(row: SigningKeyRow, *, state: str | None) -> dict[str, str | None]:
    moments = {"activates_at": row.activates_at, "retires_at": row.retires_at, "gone_at": row.gone_at}
    spelt = {
        name: moment.isoformat(timespec="seconds") if moment else None for name, moment in moments.items()
    }
    return {"kid": row.kid, "algorithm": row.algorithm, **({"state": state} if state else {}), **spelt}
