from datetime import datetime
from typing import Annotated

import typer

from idp.accounts import person
from idp.accounts.profile import ProfileError
from idp.cli import context, user_argument
from idp.cli.context import ACTOR, Opened, Refusal
from idp.cli.user_argument import User
from idp.storage.database import Transaction

EXAMPLE = "Example: idp user update ada@example.com --claim locale=en-GB --claim address.country=GB"


def update(
    ctx: typer.Context,
    user: User,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", parser=user_argument.read_name, help="The name that apps and other people see."
        ),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A claim of OIDC Core 5.1 (address.country for a part of the address); no value removes it. "
            "Repeatable.",
        ),
    ] = None,
) -> None:
    """Change what is known of a user, and told to the apps that they allowed."""
    claims = _read_claims(claim or [])
    if name is None and not claims:
        raise typer.BadParameter("give --name or --claim")

    async def change(tx: Transaction, *, now: datetime) -> None:
        account = await user_argument.require(tx, user)
        await person.change(tx, account_id=account.id, name=name, claims=claims, now=now, actor=ACTOR)

    async def act(opened: Opened) -> None:
        await opened.database.transact(change, now=opened.clock())

    try:
        context.run(ctx, act)
    except ProfileError as fault:
        raise Refusal(str(fault)) from fault
    typer.echo(f"{user} is updated.")


def flat(profile: dict[str, object]) -> dict[str, object]:
    """Name the members of the address as `--claim` does."""
    address = profile.get("address")
    members = address if isinstance(address, dict) else {}
    others = {name: value for name, value in profile.items() if name != "address"}
    return others | {f"address.{name}": value for name, value in members.items()}


def _read_claims(assignments: list[str]) -> dict[str, str]:
    claims: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name in claims:
            raise typer.BadParameter("give each claim once, as name=value", param_hint="--claim")
        claims[name] = text
    return claims
