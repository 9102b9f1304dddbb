from typing import Annotated

import typer

from idp.cli import context
from idp.cli.context import Opened, Refusal
from idp.passkeys import confirmation as confirming
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.sessions import confirmation
from idp.storage import confirmations
from idp.storage.confirmations import Receipt

app = typer.Typer(help="Look into the audit log.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _group() -> None:
    """Keep the group a group while it has one command."""


@app.command("verify-receipt", epilog="Example: idp audit verify-receipt c43twVkn8w12ZacCaQJfRQ")
def verify_receipt(
    ctx: typer.Context,
    receipt_id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="The receipt that an event names.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Verify a passkey's confirmation of an operation, from the receipt and its public key alone."""

    async def act(opened: Opened) -> Receipt | None:
        return await opened.database.read(confirmations.find_receipt, receipt_id=receipt_id)

    receipt = context.run(ctx, act)
    if receipt is None:
        raise Refusal(f"there is no receipt {receipt_id}")
    try:
        confirming.verify_receipt(receipt)
    except CeremonyError as fault:
        raise Refusal(f"the receipt {receipt_id} is not genuine ({fault.reason})") from fault
    operation = confirmation.parse(receipt.operation)
    fields: dict[str, object] = {
        "receipt": receipt.id,
        "operation": operation.kind,
        "account": operation.account_id,
        "session": operation.session_id,
        "parameters": [f"{name}={value}" for name, value in sorted(operation.parameters.items())],
        "confirmed_at": receipt.confirmed_at.isoformat(timespec="seconds"),
        "receipt_sha256": confirming.digest(receipt),
    }
    if as_json:
        context.print_json(fields | {"parameters": dict(operation.parameters)})
        return
    context.print_fields(fields)
