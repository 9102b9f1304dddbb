from datetime import datetime
from enum import Enum

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit, opaque_token
from idp.accounts import display_name
from idp.accounts.signed_in import SignedInForms, require_fresh
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.sessions import browser_session
from idp.sessions.cookie import SessionCookies
from idp.storage import accounts, browser_sessions, credentials
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from idp.web.parameters import Parameters


class Removal(Enum):
    """What became of a passkey that was to be removed."""

    REMOVED = "removed"
    UNKNOWN = "unknown"
    LAST = "last"


class RenamePasskeyEndpoint:
    """`POST /account/passkeys/rename`."""

    def __init__(self, *, database: Database, forms: SignedInForms, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        is_renamed = await self._database.transact(
            rename_passkey,
            credential_id=_credential_id(form.fields),
            account_id=form.session.account_id,
            name=display_name.check(form.fields.get("name") or ""),
            now=now,
        )
        if not is_renamed:
            raise _unknown_passkey()
        return RedirectResponse("/account?done=passkey-renamed", status_code=303)


class RemovePasskeyEndpoint:
    """`POST /account/passkeys/remove`: after a fresh sign-in alone, and never the last one."""

    def __init__(
        self, *, database: Database, forms: SignedInForms, sessions: SessionCookies, clock: Clock
    ) -> None:
        self._database = database
        self._forms = forms
        self._sessions = sessions
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        require_fresh(form.session, now=now)
        removal = await self._database.transact(
            remove_passkey,
            credential_id=_credential_id(form.fields),
            session=form.session,
            idle_since=self._sessions.idle_since(now),
            now=now,
        )
        if removal is Removal.UNKNOWN:
            raise _unknown_passkey()
        if removal is Removal.LAST:
            raise PageError(
                "This is your only passkey",
                "Without it you could not sign in any more. Add another passkey first; then you can remove "
                "this one.",
                code="last_passkey",
                status=409,
                next_step=NextStep("Go to your account", "/account"),
            )
        return RedirectResponse("/account?done=passkey-removed", status_code=303)


async def rename_passkey(
    tx: Transaction, *, credential_id: bytes, account_id: str, name: str, now: datetime
) -> bool:
    """Give one of the account's passkeys another name; False when it is not there."""
    if not await credentials.rename(tx, credential_id=credential_id, account_id=account_id, name=name):
        return False
    await audit.record(tx, "passkey_renamed", account_id=account_id, details={"name": name}, now=now)
    return True


async def remove_passkey(
    tx: Transaction, *, credential_id: bytes, session: BrowserSession, idle_since: datetime, now: datetime
) -> Removal:
    """Remove one of the account's passkeys and end the other sessions that it opened; never the last one."""
    # The account's row first: of two who remove the last two at once, the second sees what the first did.
    await accounts.lock(tx, account_id=session.account_id)
    own = await credentials.of_account(tx, account_id=session.account_id)
    removed = next((passkey for passkey in own if passkey.id == credential_id), None)
    if removed is None:
        return Removal.UNKNOWN
    if len(own) == 1:
        return Removal.LAST
    await credentials.delete(tx, credential_id=credential_id, account_id=session.account_id)
    live = await browser_sessions.live_of_account(
        tx, account_id=session.account_id, idle_since=idle_since, now=now
    )
    for other in live:
        if other.credential_id == credential_id and other.id != session.id:
            await browser_session.end(tx, other, now=now)
    await audit.record(
        tx, "passkey_removed", account_id=session.account_id, details={"name": removed.name}, now=now
    )
    return Removal.REMOVED


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
