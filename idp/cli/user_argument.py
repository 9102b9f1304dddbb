"""How commands are told of a user, and of a name."""

from typing import Annotated

import typer

from idp.accounts import administration, display_name
from idp.cli.context import Refusal
from idp.storage.accounts import Account
from idp.storage.database import Transaction

User = Annotated[
    str, typer.Argument(metavar="USER", show_default=False, help="The user's e-mail address or identifier.")
]


def read_name(text: str) -> str:
    """Read a person's name; raises BadParameter."""
    name = display_name.parse(text)
    if name is None:
        raise typer.BadParameter("give a name of 1 to 64 characters")
    return name


async def require(tx: Transaction, named: str) -> Account:
    """Read the one account that is meant; raises Refusal."""
    account = await administration.find_account(tx, named=named)
    if account is None or account.status == "deleted":
        raise Refusal(f"there is no user {named}, or more than one claims the address; see idp user list")
    return account
