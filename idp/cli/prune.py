from typing import Annotated

import typer

from idp import pruning
from idp.cli import context
from idp.cli.context import Opened

EXAMPLE = "Example: idp prune"


def prune(
    ctx: typer.Context, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Remove expired rows in small batches; a running server does the same from time to time."""

    async def act(opened: Opened) -> dict[str, int]:
        return await pruning.prune(opened.database, now=opened.clock())

    removed = context.run(ctx, act)
    if as_json:
        context.print_json(removed)
    else:
        context.print_fields(dict(removed))
