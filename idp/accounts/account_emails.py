from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit, opaque_token
from idp.accounts import email_address, email_verification, mailbox_limit, step_up
from idp.accounts.email_address import EmailAddressText
from idp.accounts.email_verification import LinkMail
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.notifications import security_mail
from idp.notifications.outbox import Sealer
from idp.sessions import confirmation
from idp.storage import accounts, email_addresses
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress
from idp.web.rate_limit import RateLimiter

MAX_ADDRESSES = 10
"""Of one account: each of them gets every word about it."""

ADD_ADDRESS = "/account/email/add"
PRIMARY_ADDRESS = "/account/email/make-primary"
REMOVE_ADDRESS = "/account/email/remove"


class Change(Enum):
    """What became of a change to the account's addresses."""

    DONE = "done"
    UNKNOWN = "unknown"
    KNOWN = "known"
    TOO_MANY = "too_many"
    UNVERIFIED = "unverified"
    PRIMARY = "primary"
    NOT_CONFIRMED = "not_confirmed"


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that waits for its confirmation."""

    operation_id: str


class AddEmailEndpoint:
    """`POST /account/email/add`: when confirmed, another address is claimed and its mailbox gets the link."""

    def __init__(
        self,
        *,
        database: Database,
        forms: SignedInForms,
        rate_limiter: RateLimiter,
        mail: LinkMail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._forms = forms
        self._rate_limiter = rate_limiter
        self._mail = mail
        self._clock = clock

    async def post(self, request: Request) -> Response:
        now = self._clock()
        form = await self._forms.read(request, now=now)
        operation_id = step_up.presented_operation(form.fields)
        outcome: Change | Asked
        if operation_id is None:
            email = email_address.check(form.fields.get("email") or "")
            outcome = await self._database.transact(ask_to_add, email, session=form.session, now=now)
            # Counted before anything is mailed: who asks a hundred times writes to nobody.
            if isinstance(outcome, Asked) and not await mailbox_limit.may_receive(
                self._rate_limiter, normalized=email.normalized
            ):
                raise _too_many_mails()
        else:
            outcome = await self._database.transact(
                add_confirmed, operation_id=operation_id, session=form.session, mail=self._mail, now=now
            )
        return _answer(outcome, done="email-added")


class MakePrimaryEmailEndpoint:
    """`POST /account/email/make-primary`: when confirmed, apps see another of the verified addresses."""

    def __init__(self, *, database: Database, forms: SignedInForms, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        return await _conduct(
            request,
            database=self._database,
            forms=self._forms,
            sealer=self._sealer,
            ask=ask_to_make_primary,
            execute=make_primary_confirmed,
            done="primary-email-changed",
            now=self._clock(),
        )


class RemoveEmailEndpoint:
    """`POST /account/email/remove`: when confirmed, and never the main address."""

    def __init__(self, *, database: Database, forms: SignedInForms, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._forms = forms
        self._sealer = sealer
        self._clock = clock

    async def post(self, request: Request) -> Response:
        return await _conduct(
            request,
            database=self._database,
            forms=self._forms,
            sealer=self._sealer,
            ask=ask_to_remove,
            execute=remove_confirmed,
            done="email-removed",
            now=self._clock(),
        )


async def ask_to_add(
    tx: Transaction, email: EmailAddressText, *, session: BrowserSession, now: datetime
) -> Change | Asked:
    """Ask who adds an address, unless the account has it or has enough."""
    own = await email_addresses.of_account(tx, account_id=session.account_id)
    if obstacle := _obstacle_to_adding(own, normalized=email.normalized):
        return obstacle
    parameters = {"address": email.address}
    return Asked(
        await confirmation.ask(
            tx, "email.add", session=session, parameters=parameters, address=ADD_ADDRESS, now=now
        )
    )


async def add_confirmed(
    tx: Transaction, *, operation_id: str, session: BrowserSession, mail: LinkMail, now: datetime
) -> Change:
    """Claim the address that was confirmed, mail its link, and tell the addresses that are verified."""
    operation = await confirmation.take(tx, "email.add", operation_id=operation_id, session=session, now=now)
    email = email_address.parse(operation.parameters["address"]) if operation else None
    if email is None:
        return Change.NOT_CONFIRMED
    await accounts.lock(tx, account_id=session.account_id)
    own = await email_addresses.of_account(tx, account_id=session.account_id)
    if obstacle := _obstacle_to_adding(own, normalized=email.normalized):
        return obstacle
    claimed = EmailAddress(
        id=opaque_token.new_identifier(),
        account_id=session.account_id,
        address=email.address,
        normalized=email.normalized,
        is_primary=not own,
        verified_at=None,
        created_at=now,
    )
    await email_addresses.insert(
        tx,
        address_id=claimed.id,
        account_id=claimed.account_id,
        address=claimed.address,
        normalized=claimed.normalized,
        is_primary=claimed.is_primary,
        now=now,
    )
    await email_verification.send_link(tx, claimed, mail=mail, now=now)
    await audit.record(
        tx, "email_added", account_id=session.account_id, details={"receipt": operation_id}, now=now
    )
    await security_mail.tell(
        tx,
        "email_added",
        account_id=session.account_id,
        values={"address": claimed.address},
        sealer=mail.sealer,
        now=now,
    )
    return Change.DONE


async def ask_to_make_primary(
    tx: Transaction, *, address_id: str, session: BrowserSession, now: datetime
) -> Change | Asked:
    """Ask who makes an address the main one, unless it is not verified."""
    chosen = _find(await email_addresses.of_account(tx, account_id=session.account_id), address_id)
    if chosen is None:
        return Change.UNKNOWN
    if chosen.verified_at is None:
        return Change.UNVERIFIED
    parameters = {"address_id": chosen.id, "address": chosen.address}
    return Asked(
        await confirmation.ask(
            tx, "email.make_primary", session=session, parameters=parameters, address=PRIMARY_ADDRESS, now=now
        )
    )


async def make_primary_confirmed(
    tx: Transaction, *, operation_id: str, session: BrowserSession, sealer: Sealer, now: datetime
) -> Change:
    """Make the address that was confirmed the main one; every verified address hears of it."""
    operation = await confirmation.take(
        tx, "email.make_primary", operation_id=operation_id, session=session, now=now
    )
    if operation is None:
        return Change.NOT_CONFIRMED
    await accounts.lock(tx, account_id=session.account_id)
    own = await email_addresses.of_account(tx, account_id=session.account_id)
    chosen = _find(own, operation.parameters["address_id"])
    if chosen is None or chosen.verified_at is None:
        return Change.UNKNOWN
    await email_addresses.make_primary(tx, address_id=chosen.id, account_id=session.account_id)
    details = {"receipt": operation_id}
    await audit.record(tx, "primary_email_changed", account_id=session.account_id, details=details, now=now)
    await security_mail.tell(
        tx,
        "primary_email_changed",
        account_id=session.account_id,
        values={"address": chosen.address},
        sealer=sealer,
        now=now,
    )
    return Change.DONE


async def ask_to_remove(
    tx: Transaction, *, address_id: str, session: BrowserSession, now: datetime
) -> Change | Asked:
    """Ask who removes an address, unless it is the main one."""
    chosen = _find(await email_addresses.of_account(tx, account_id=session.account_id), address_id)
    if chosen is None:
        return Change.UNKNOWN
    if chosen.is_primary:
        return Change.PRIMARY
    parameters = {"address_id": chosen.id, "address": chosen.address}
    return Asked(
        await confirmation.ask(
            tx, "email.remove", session=session, parameters=parameters, address=REMOVE_ADDRESS, now=now
        )
    )


async def remove_confirmed(
    tx: Transaction, *, operation_id: str, session: BrowserSession, sealer: Sealer, now: datetime
) -> Change:
    """Remove the address that was confirmed; it is told too, one last time, when it was verified."""
    operation = await confirmation.take(
        tx, "email.remove", operation_id=operation_id, session=session, now=now
    )
    if operation is None:
        return Change.NOT_CONFIRMED
    await accounts.lock(tx, account_id=session.account_id)
    own = await email_addresses.of_account(tx, account_id=session.account_id)
    chosen = _find(own, operation.parameters["address_id"])
    if chosen is None:
        return Change.UNKNOWN
    # It may have become the main one since the person was asked.
    if chosen.is_primary:
        return Change.PRIMARY
    await security_mail.tell(
        tx,
        "email_removed",
        account_id=session.account_id,
        values={"address": chosen.address},
        sealer=sealer,
        now=now,
    )
    await email_addresses.delete(tx, address_id=chosen.id, account_id=session.account_id)
    await audit.record(
        tx, "email_removed", account_id=session.account_id, details={"receipt": operation_id}, now=now
    )
    return Change.DONE


async def _conduct(
    request: Request,
    *,
    database: Database,
    forms: SignedInForms,
    sealer: Sealer,
    ask: Callable[..., Awaitable[Change | Asked]],
    execute: Callable[..., Awaitable[Change]],
    done: str,
    now: datetime,
) -> Response:
    """Ask for, or execute, a change of an address that the account has."""
    form = await forms.read(request, now=now)
    operation_id = step_up.presented_operation(form.fields)
    outcome: Change | Asked
    if operation_id is None:
        address_id = form.fields.get("email_id") or ""
        outcome = await database.transact(ask, address_id=address_id, session=form.session, now=now)
    else:
        outcome = await database.transact(
            execute, operation_id=operation_id, session=form.session, sealer=sealer, now=now
        )
    return _answer(outcome, done=done)


def _obstacle_to_adding(own: list[EmailAddress], *, normalized: str) -> Change | None:
    if any(address.normalized == normalized for address in own):
        return Change.KNOWN
    return Change.TOO_MANY if len(own) >= MAX_ADDRESSES else None


def _find(own: list[EmailAddress], address_id: str) -> EmailAddress | None:
    return next((address for address in own if address.id == address_id), None)


def _answer(outcome: Change | Asked, *, done: str) -> Response:
    if isinstance(outcome, Asked):
        return step_up.to_confirmation(outcome.operation_id)
    if outcome is Change.DONE:
        return RedirectResponse(f"/account?done={done}#e-mail", status_code=303)
    if outcome is Change.NOT_CONFIRMED:
        raise step_up.not_confirmed()
    heading, message, status = _REFUSALS[outcome]
    raise PageError(
        heading,
        message,
        code=f"email_{outcome.value}",
        status=status,
        next_step=NextStep("Go to your account", "/account"),
    )


_REFUSALS = {
    Change.UNKNOWN: (
        "This address is not in your account",
        "It may have been removed meanwhile. Nothing was changed.",
        404,
    ),
    Change.KNOWN: (
        "Your account has this address already",
        "If it is not confirmed yet, you can have the link sent again in your account.",
        409,
    ),
    Change.TOO_MANY: (
        "Your account has as many addresses as it can hold",
        "Remove one that you no longer use, then add this one.",
        409,
    ),
    Change.UNVERIFIED: (
        "This address is not confirmed yet",
        "Open the link that we mailed to it first. Then you can make it your main address.",
        409,
    ),
    Change.PRIMARY: (
        "This is your main address",
        "Make another address your main one first. Then you can remove this one.",
        409,
    ),
}


def _too_many_mails() -> PageError:
    return PageError(
        "This address got many mails lately",
        "Wait an hour, then add it again. Nothing was changed.",
        code="too_many_mails",
        status=429,
        next_step=NextStep("Go to your account", "/account"),
    )
