from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp import audit, opaque_token
from idp.accounts import display_name, email_address, email_verification, mailbox_limit, sign_up
from idp.accounts.email_address import EmailAddressText
from idp.accounts.email_verification import LinkMail
from idp.accounts.request_fields import text_field
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.storage import accounts, email_addresses, enrolments
from idp.storage.accounts import Account
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress
from idp.storage.enrolments import Enrolment
from idp.web.browser import CSRF_HEADER, Browsers
from idp.web.pages import Pages
from idp.web.parameters import json_object, query_parameters
from idp.web.rate_limit import RateLimiter

INVITATION_LIFETIME = timedelta(days=7)
RECOVERY_LIFETIME = timedelta(hours=24)
FIRST_ADMINISTRATOR_LIFETIME = timedelta(hours=24)

FIRST_ADMINISTRATOR_ROLE = "owner"

_HEADINGS = {
    "invitation": "Create your passkey",
    "recovery": "Give your account a new passkey",
    "first_administrator": "Set up the first administrator",
}
_MESSAGES = {
    "invitation": "You are invited. Create a passkey, and your account is ready.",
    "recovery": "An administrator made this link for your account. Your name, your apps and all else stay.",
    "first_administrator": "You will look after this provider. Everyone else comes later.",
}


@dataclass(frozen=True, slots=True)
class OpenLink:
    """An enrolment link that may still be used, and whom it is for."""

    enrolment: Enrolment
    account: Account
    addresses: list[EmailAddress]


class EnrolmentLinkEndpoint:
    """`/enrol`: a one-time link by which its bearer gives one account a passkey.

    The page and its start change nothing that the link may not; the passkey itself uses the link up.
    """

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        pages: Pages,
        rate_limiter: RateLimiter,
        mail: LinkMail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._pages = pages
        self._rate_limiter = rate_limiter
        self._mail = mail
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        await self._rate_limiter.count_caller("sign_in")
        token = query_parameters(request).get("token") or ""
        link = await self._database.read(open_link, presented_token=token, now=now)
        if link is None:
            raise _unknown_link()
        return self._pages.render(
            "enrol.html",
            {
                "heading": _HEADINGS[link.enrolment.kind],
                "message": _MESSAGES[link.enrolment.kind],
                "token": token,
                "email": link.addresses[0].address if _is_email_fixed(link) else "",
                "name": link.account.name,
                "is_name_fixed": _is_name_fixed(link),
            },
            browser=self._browsers.identify(request),
        )

    async def post(self, request: Request) -> Response:
        now = self._clock()
        await self._rate_limiter.count_caller("sign_in")
        fields = await json_object(request)
        browser = self._browsers.identify(request)
        self._browsers.check_form(request, browser, presented_token=request.headers.get(CSRF_HEADER))
        token = text_field(fields, "token")
        link = await self._database.read(open_link, presented_token=token, now=now)
        if link is None:
            raise _unknown_link()
        if not _is_name_fixed(link):
            name = display_name.check(text_field(fields, "name"))
            email = _email(link, text_field(fields, "email"))
            may_mail = await mailbox_limit.may_receive(self._rate_limiter, normalized=email.normalized)
            is_known = await self._database.transact(
                introduce,
                presented_token=token,
                name=name,
                email=email,
                mail=self._mail if may_mail else None,
                now=now,
            )
            if not is_known:
                raise _unknown_link()
        return JSONResponse({"enrolment": token}, headers={"Cache-Control": "no-store"})


async def create_invitation(
    tx: Transaction,
    *,
    email: EmailAddressText,
    name: str,
    role: str | None,
    now: datetime,
    actor: str | None = None,
) -> str:
    """Begin an account for somebody else; answer the token of the one-time link that enrols its passkey.

    The address is claimed, not verified: the link proves that somebody passed it on, not whose mailbox it is.
    """
    account_id = await sign_up.insert_account(tx, name=name, role=role, now=now)
    await sign_up.claim(tx, email, account_id=account_id, now=now)
    token = await _insert(tx, kind="invitation", account_id=account_id, lifetime=INVITATION_LIFETIME, now=now)
    await audit.record(
        tx, "invitation_created", account_id=account_id, actor=actor, details={"role": role}, now=now
    )
    return token


async def create_recovery_link(
    tx: Transaction, *, account_id: str, now: datetime, actor: str | None = None
) -> str | None:
    """Answer the token of a link that gives an account another passkey; None when the account is not active.

    It ends the links that the account had before.
    """
    account = await accounts.lock(tx, account_id=account_id)
    if account is None or account.status != "active":
        return None
    await enrolments.end_of_account(tx, account_id=account_id, now=now)
    token = await _insert(tx, kind="recovery", account_id=account_id, lifetime=RECOVERY_LIFETIME, now=now)
    await audit.record(tx, "recovery_link_created", account_id=account_id, actor=actor, now=now)
    return token


async def create_first_administrator_link(tx: Transaction, *, now: datetime) -> str | None:
    """Answer the token of the link that enrols the first administrator; None when there is one already.

    Only the newest link works: each ends the ones before.
    """
    await enrolments.lock_first_administrator(tx)
    if await accounts.has_administrator(tx):
        return None
    await enrolments.end_all_of_kind(tx, kind="first_administrator", now=now)
    account_id = await sign_up.insert_account(tx, name="", role=FIRST_ADMINISTRATOR_ROLE, now=now)
    return await _insert(
        tx,
        kind="first_administrator",
        account_id=account_id,
        lifetime=FIRST_ADMINISTRATOR_LIFETIME,
        now=now,
    )


async def open_link(tx: Transaction, *, presented_token: str, now: datetime) -> OpenLink | None:
    """Read whom a link is for, without using it; None when it is unknown, used, expired or void."""
    enrolment = await enrolments.peek(tx, token_sha256=opaque_token.sha256(presented_token), now=now)
    # A sign-up's token belongs to its browser and is no link.
    if enrolment is None or enrolment.kind not in _HEADINGS:
        return None
    account = await accounts.find(tx, account_id=enrolment.account_id)
    if account is None or account.status not in {"pending", "active"}:
        return None
    # Somebody became administrator by another way: setting up is over.
    if enrolment.kind == "first_administrator" and await accounts.has_administrator(tx):
        return None
    addresses = await email_addresses.of_account(tx, account_id=account.id)
    return OpenLink(enrolment=enrolment, account=account, addresses=addresses)


async def introduce(
    tx: Transaction,
    *,
    presented_token: str,
    name: str,
    email: EmailAddressText,
    mail: LinkMail | None,
    now: datetime,
) -> bool:
    """Give a beginning account the name, and the address it claims; False when the link no longer works."""
    enrolment = await enrolments.peek(tx, token_sha256=opaque_token.sha256(presented_token), now=now)
    if enrolment is None:
        return False
    account = await accounts.lock(tx, account_id=enrolment.account_id)
    # Read again behind the lock: what another tab did meanwhile counts.
    link = await open_link(tx, presented_token=presented_token, now=now)
    if account is None or account.status != "pending" or link is None:
        return False
    await accounts.rename(tx, account_id=account.id, name=name, now=now)
    claimed = next((own for own in link.addresses if own.normalized == email.normalized), None)
    if claimed is None:
        await email_addresses.delete_unverified(tx, account_id=account.id)
        claimed = await sign_up.claim(tx, email, account_id=account.id, now=now)
    if mail:
        await email_verification.send_link(tx, claimed, mail=mail, now=now)
    return True


async def _insert(tx: Transaction, *, kind: str, account_id: str, lifetime: timedelta, now: datetime) -> str:
    token = opaque_token.new_token()
    await enrolments.insert(
        tx,
        token_sha256=opaque_token.sha256(token),
        kind=kind,
        account_id=account_id,
        browser_sha256=None,
        expires_at=now + lifetime,
        now=now,
    )
    return token


def _is_email_fixed(link: OpenLink) -> bool:
    return link.enrolment.kind != "first_administrator" and bool(link.addresses)


def _is_name_fixed(link: OpenLink) -> bool:
    return link.account.status != "pending"


def _email(link: OpenLink, presented: str) -> EmailAddressText:
    if _is_email_fixed(link):
        own = link.addresses[0]
        return EmailAddressText(address=own.address, normalized=own.normalized)
    return email_address.check(presented)


def _unknown_link() -> PageError:
    return PageError(
        "This link doesn't work any more",
        "It was used already, or it is too old. Ask whoever sent it for a new one.",
        code="unknown_link",
        status=404,
        next_step=NextStep("Go to sign-in", "/login"),
    )
