from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit
from idp.accounts import administration, moment, step_up
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.notifications import security_mail
from idp.notifications.outbox import Sealer
from idp.sessions import confirmation
from idp.storage import account_deletions, accounts
from idp.storage.account_deletions import AccountDeletion
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction

ADDRESS = "/account/delete"

_AT_ONCE = 20


class DeleteAccountEndpoint:
    """`POST /account/delete`: when confirmed, plans the deletion for a later day."""

    def __init__(
        self, *, database: Database, forms: SignedInForms, delay: timedelta, sealer: Sealer, clock: Clock
    ) -> None:
        self._database = database
        self._forms = forms
        self._delay = delay
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        operation_id = step_up.presented_operation(form.fields)
        if operation_id is None:
            due_at = (now + self._delay).replace(microsecond=0)
            asked = await self._database.transact(
                confirmation.ask,
                "account.delete",
                session=form.session,
                parameters={"due_at": due_at.isoformat(), "due_on": moment.day(due_at)},
                address=ADDRESS,
                now=now,
            )
            return step_up.to_confirmation(asked)
        is_planned = await self._database.transact(
            plan_deletion, operation_id=operation_id, session=form.session, sealer=self._sealer, now=now
        )
        if not is_planned:
            raise step_up.not_confirmed()
        return RedirectResponse("/account?done=deletion-requested", status_code=303)


class CancelDeletionEndpoint:
    """`POST /account/delete/cancel`: the account stays. Needs no confirmation: nothing is lost by it."""

    def __init__(self, *, database: Database, forms: SignedInForms, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        await self._database.transact(
            cancel_deletion, account_id=form.session.account_id, sealer=self._sealer, now=now
        )
        return RedirectResponse("/account?done=deletion-cancelled", status_code=303)


async def plan_deletion(
    tx: Transaction, *, operation_id: str, session: BrowserSession, sealer: Sealer, now: datetime
) -> bool:
    """Plan the deletion that was confirmed, for the day that was shown; False when it was not confirmed."""
    operation = await confirmation.take(
        tx, "account.delete", operation_id=operation_id, session=session, now=now
    )
    if operation is None:
        return False
    planned = AccountDeletion(
        account_id=session.account_id,
        requested_at=now,
        due_at=datetime.fromisoformat(operation.parameters["due_at"]),
    )
    # Asked for twice, the first day stands.
    if not await account_deletions.insert(tx, planned):
        return True
    await audit.record(
        tx, "deletion_requested", account_id=session.account_id, details={"receipt": operation_id}, now=now
    )
    await security_mail.tell(
        tx,
        "deletion_requested",
        account_id=session.account_id,
        values={"due_on": operation.parameters["due_on"]},
        sealer=sealer,
        now=now,
    )
    return True


async def cancel_deletion(tx: Transaction, *, account_id: str, sealer: Sealer, now: datetime) -> bool:
    """Let the account stay; False when no deletion was planned."""
    if not await account_deletions.cancel(tx, account_id=account_id):
        return False
    await audit.record(tx, "deletion_cancelled", account_id=account_id, now=now)
    await security_mail.tell(
        tx, "deletion_cancelled", account_id=account_id, values={}, sealer=sealer, now=now
    )
    return True


async def delete_due(database: Database, *, sealer: Sealer, now: datetime) -> int:
    """Delete the accounts whose day has come; answer how many. Any node, any number of them at once."""
    due = await database.read(account_deletions.due, now=now, limit=_AT_ONCE)
    deleted = [
        await database.transact(delete_one, account_id=account_id, sealer=sealer, now=now)
        for account_id in due
    ]
    return sum(deleted)


async def delete_one(tx: Transaction, *, account_id: str, sealer: Sealer, now: datetime) -> bool:
    """Delete an account whose day has come, and say so while its addresses are known."""
    # The order of locks of all who change an account: its own row first.
    await accounts.lock(tx, account_id=account_id)
    if not await account_deletions.take_due(tx, account_id=account_id, now=now):
        return False
    await security_mail.tell(tx, "account_deleted", account_id=account_id, values={}, sealer=sealer, now=now)
    return await administration.delete(tx, account_id=account_id, now=now)
