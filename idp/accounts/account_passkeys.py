from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit, opaque_token
from idp.accounts import display_name, onward, step_up
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.notifications import security_mail
from idp.notifications.outbox import Sealer
from idp.sessions import browser_session, confirmation
from idp.sessions.cookie import SessionCookies
from idp.storage import accounts, browser_sessions, credentials
from idp.storage.browser_sessions import BrowserSession
from idp.storage.credentials import Credential
from idp.storage.database import Database, Transaction
from idp.web.parameters import Parameters

ADD_ADDRESS = "/account/passkeys/add"
RENAME_ADDRESS = "/account/passkeys/rename"
REMOVE_ADDRESS = "/account/passkeys/remove"


class Change(Enum):
    """What became of a change to a passkey."""

    DONE = "done"
    UNKNOWN = "unknown"
    LAST = "last"
    NOT_CONFIRMED = "not_confirmed"


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that waits for its confirmation."""

    operation_id: str


class AddPasskeyEndpoint:
    """`POST /account/passkeys/add`: to the confirmation, and from there to the account page that goes on."""

    def __init__(self, *, database: Database, forms: SignedInForms, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        operation_id = step_up.presented_operation(form.fields)
        if operation_id is None:
            asked = await self._database.transact(
                confirmation.ask,
                "passkey.add",
                session=form.session,
                parameters={"request": onward.request_id(form.fields)},
                address=ADD_ADDRESS,
                now=now,
            )
            return step_up.to_confirmation(asked)
        # The passkey itself is made by a script, whose first question uses the confirmation up.
        operation = await self._database.read(
            confirmation.peek, operation_id=operation_id, session=form.session, now=now
        )
        if operation is None:
            raise step_up.not_confirmed()
        request_id = operation.parameters.get("request", "")
        then = f"&request={request_id}" if request_id else ""
        return RedirectResponse(f"/account?add={operation_id}{then}#passkeys", status_code=303)


class RenamePasskeyEndpoint:
    """`POST /account/passkeys/rename`: at once for whoever proved themselves lately, else when confirmed."""

    def __init__(self, *, database: Database, forms: SignedInForms, recent: timedelta, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._recent = recent
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        operation_id = step_up.presented_operation(form.fields)
        outcome: Change | Asked
        if operation_id is None:
            outcome = await self._database.transact(
                rename_or_ask,
                credential_id=_credential_id(form.fields),
                session=form.session,
                name=display_name.check(form.fields.get("name") or ""),
                recent=self._recent,
                now=now,
            )
        else:
            outcome = await self._database.transact(
                rename_confirmed, operation_id=operation_id, session=form.session, now=now
            )
        return _answer(outcome, done="passkey-renamed")


class RemovePasskeyEndpoint:
    """`POST /account/passkeys/remove`: when confirmed, and never the last way in."""

    def __init__(
        self,
        *,
        database: Database,
        forms: SignedInForms,
        sessions: SessionCookies,
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        operation_id = step_up.presented_operation(form.fields)
        outcome: Change | Asked
        if operation_id is None:
            outcome = await self._database.transact(
                ask_to_remove, credential_id=_credential_id(form.fields), session=form.session, now=now
            )
        else:
            outcome = await self._database.transact(
                remove_confirmed,
                operation_id=operation_id,
                session=form.session,
                idle_since=self._sessions.idle_since(now),
                sealer=self._sealer,
                now=now,
            )
        return _answer(outcome, done="passkey-removed")


async def rename_or_ask(
    tx: Transaction,
    *,
    credential_id: bytes,
    session: BrowserSession,
    name: str,
    recent: timedelta,
    now: datetime,
) -> Change | Asked:
    """Give one of the account's passkeys another name, or ask first who does it."""
    own = await credentials.of_account(tx, account_id=session.account_id)
    renamed = _find(own, credential_id)
    if renamed is None:
        return Change.UNKNOWN
    if await confirmation.is_recent(tx, session, within=recent, now=now):
        return await _rename(tx, credential_id, account_id=session.account_id, name=name, now=now)
    parameters = {
        "credential_id": opaque_token.encode(credential_id),
        "old_name": renamed.name,
        "name": name,
    }
    return Asked(
        await confirmation.ask(
            tx, "passkey.rename", session=session, parameters=parameters, address=RENAME_ADDRESS, now=now
        )
    )


async def rename_confirmed(
    tx: Transaction, *, operation_id: str, session: BrowserSession, now: datetime
) -> Change:
    """Give a passkey the name that was confirmed."""
    operation = await confirmation.take(
        tx, "passkey.rename", operation_id=operation_id, session=session, now=now
    )
    if operation is None:
        return Change.NOT_CONFIRMED
    credential_id = opaque_token.decode(operation.parameters["credential_id"]) or b""
    name = operation.parameters["name"]
    return await _rename(tx, credential_id, account_id=session.account_id, name=name, now=now)


async def ask_to_remove(
    tx: Transaction, *, credential_id: bytes, session: BrowserSession, now: datetime
) -> Change | Asked:
    """Ask who removes a passkey, unless it is the last one."""
    own = await credentials.of_account(tx, account_id=session.account_id)
    removed = _find(own, credential_id)
    if removed is None:
        return Change.UNKNOWN
    if len(own) == 1:
        return Change.LAST
    parameters = {
        "credential_id": opaque_token.encode(credential_id),
        "name": removed.name,
        "left": str(len(own) - 1),
    }
    return Asked(
        await confirmation.ask(
            tx, "passkey.remove", session=session, parameters=parameters, address=REMOVE_ADDRESS, now=now
        )
    )


async def remove_confirmed(
    tx: Transaction,
    *,
    operation_id: str,
    session: BrowserSession,
    idle_since: datetime,
    sealer: Sealer,
    now: datetime,
) -> Change:
    """Remove the passkey that was confirmed and end the other sessions that it opened; never the last one."""
    operation = await confirmation.take(
        tx, "passkey.remove", operation_id=operation_id, session=session, now=now
    )
    if operation is None:
        return Change.NOT_CONFIRMED
    credential_id = opaque_token.decode(operation.parameters["credential_id"]) or b""
    # The account's row first: of two who remove the last two at once, the second sees what the first did.
    await accounts.lock(tx, account_id=session.account_id)
    own = await credentials.of_account(tx, account_id=session.account_id)
    removed = _find(own, credential_id)
    if removed is None:
        return Change.UNKNOWN
    if len(own) == 1:
        return Change.LAST
    await credentials.delete(tx, credential_id=credential_id, account_id=session.account_id)
    live = await browser_sessions.live_of_account(
        tx, account_id=session.account_id, idle_since=idle_since, now=now
    )
    for other in live:
        if other.credential_id == credential_id and other.id != session.id:
            await browser_session.end(tx, other, now=now)
    details = {"name": removed.name, "receipt": operation_id}
    await audit.record(tx, "passkey_removed", account_id=session.account_id, details=details, now=now)
    await security_mail.tell(
        tx,
        "passkey_removed",
        account_id=session.account_id,
        values={"passkey_name": removed.name},
        sealer=sealer,
        now=now,
    )
    return Change.DONE


def is_operation_id(text: str) -> bool:
    """Whether the text could name an operation: it ends up in an address."""
    value = opaque_token.decode(text)
    return value is not None and len(value) == 16  # noqa: PLR2004 - opaque_token.new_identifier


async def _rename(
    tx: Transaction, credential_id: bytes, *, account_id: str, name: str, now: datetime
) -> Change:
    if not await credentials.rename(tx, credential_id=credential_id, account_id=account_id, name=name):
        return Change.UNKNOWN
    await audit.record(tx, "passkey_renamed", account_id=account_id, details={"name": name}, now=now)
    return Change.DONE


def _find(own: list[Credential], credential_id: bytes) -> Credential | None:
    return next((passkey for passkey in own if passkey.id == credential_id), None)


def _answer(outcome: Change | Asked, *, done: str) -> Response:
    match outcome:
        case Asked(operation_id):
            return step_up.to_confirmation(operation_id)
        case Change.NOT_CONFIRMED:
            raise step_up.not_confirmed()
        case Change.UNKNOWN:
            raise _unknown_passkey()
        case Change.LAST:
            raise PageError(
                "This is your only passkey",
                "Without it you could not sign in any more. Add another passkey first; then you can remove "
                "this one.",
                code="last_passkey",
                status=409,
                next_step=NextStep("Go to your account", "/account"),
            )
        case Change.DONE:
            return RedirectResponse(f"/account?done={done}", status_code=303)


def _credential_id(fields: Parameters) -> bytes:
    credential_id = opaque_token.decode(fields.get("credential_id") or "")
    if not credential_id:
        raise _unknown_passkey()
    return credential_id


def _unknown_passkey() -> PageError:
    return PageError(
        "This passkey is not in your account",
        "It may have been removed meanwhile. Nothing was changed.",
        code="unknown_passkey",
        status=404,
        next_step=NextStep("Go to your account", "/account"),
    )
