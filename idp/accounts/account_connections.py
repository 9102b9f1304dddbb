from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.storage import connections
from idp.storage.database import Database, Transaction


class WithdrawConnectionEndpoint:
    """`POST /account/connections/withdraw`: takes back what the person allowed an app, at once."""

    def __init__(self, *, database: Database, forms: SignedInForms, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        is_withdrawn = await self._database.transact(
            withdraw,
            account_id=form.session.account_id,
            client_id=form.fields.require("client_id"),
            now=now,
        )
        if not is_withdrawn:
            raise PageError(
                "This app has no access",
                "Its access was removed already. Nothing else was changed.",
                code="unknown_connection",
                status=404,
                next_step=NextStep("Go to your account", "/account"),
            )
        return RedirectResponse("/account?done=access-removed#apps", status_code=303)


async def withdraw(tx: Transaction, *, account_id: str, client_id: str, now: datetime) -> bool:
    """Take back what the account allowed a client and end its grants; False when there was nothing."""
    if not await connections.withdraw(tx, account_id=account_id, client_id=client_id, now=now):
        return False
    await audit.record(tx, "connection_withdrawn", account_id=account_id, client_id=client_id, now=now)
    return True
