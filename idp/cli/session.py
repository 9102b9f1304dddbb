from datetime import datetime
from typing import Annotated

import typer

from idp.accounts import account_sessions, administration
from idp.cli import context
from idp.cli.context import ACTOR, Opened, Refusal
from idp.storage.database import Transaction

app = typer.Typer(help="End what people have open.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `revoke` a command of its own: Typer would fold a group of one into its name."""


@app.command(epilog="Example: idp session revoke --user ada@example.com")
def revoke(
    ctx: typer.Context,
    *,
    user: Annotated[
        str, typer.Option("--user", metavar="USER", help="The user's e-mail address or identifier.")
    ],
) -> None:
    """Sign a user out of every browser and every app, at once."""

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await administration.find_account(tx, named=user)
        if account is None:
            raise Refusal(f"there is no user {user}, or more than one claims the address; see idp user list")
        await account_sessions.end_everything(tx, account_id=account.id, now=now, actor=ACTOR)

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    context.run(ctx, act)
    typer.echo(f"{user} is signed out everywhere.")
