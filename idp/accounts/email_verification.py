from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp import audit, opaque_token
from idp.accounts import mailbox_limit
from idp.accounts.signed_in import SignedInForms
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.notifications import outbox
from idp.notifications.outbox import Sealer
from idp.sessions.cookie import SessionCookies
from idp.storage import email_addresses
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters
from idp.web.rate_limit import RateLimiter

LINK_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class LinkMail:
    """What a mail with a link needs: where the link leads, and who may read it while it waits."""

    issuer: str
    sealer: Sealer


class Verification(Enum):
    """What became of a mailed link."""

    VERIFIED = "verified"
    UNKNOWN_LINK = "unknown_link"
    HELD_BY_ANOTHER = "held_by_another"


class VerifyEmailEndpoint:
    """`/verify-email`: the mailed link. Opening it changes nothing; the button of its page does, once.

    It counts only in a session of the account that claimed the address: neither a mail scanner nor the
    mailbox's owner, asked by a stranger, can verify an address for somebody else's account.
    """

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        sessions: SessionCookies,
        pages: Pages,
        rate_limiter: RateLimiter,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._sessions = sessions
        self._forms = SignedInForms(browsers=browsers, sessions=sessions)
        self._pages = pages
        self._rate_limiter = rate_limiter
        self._clock = clock

    async def get(self, request: Request) -> Response:
        now = self._clock()
        await self._rate_limiter.count_caller("sign_in")
        token = query_parameters(request).get("token") or ""
        browser = self._browsers.identify(request)
        session = await self._sessions.current(request, now=now)
        if session is None:
            # Said before the link is looked up: strangers learn nothing about it.
            context = {"address": None, "token": ""}
            return self._pages.render("verify_email.html", context, browser=browser)
        claimed = await self._database.read(
            email_addresses.peek_verification, token_sha256=opaque_token.sha256(token), now=now
        )
        if claimed is None or claimed.account_id != session.account_id:
            raise _unknown_link()
        context = {"address": claimed.address, "token": token}
        return self._pages.render("verify_email.html", context, browser=browser)

    async def post(self, request: Request) -> Response:
        now = self._clock()
        await self._rate_limiter.count_caller("sign_in")
        form = await self._forms.read(request, now=now)
        verification = await self._database.transact(
            verify,
            presented_token=form.fields.get("token") or "",
            account_id=form.session.account_id,
            now=now,
        )
        if verification is Verification.UNKNOWN_LINK:
            raise _unknown_link()
        if verification is Verification.HELD_BY_ANOTHER:
            raise PageError(
                "This address belongs to another account",
                "Another account confirmed it first. If that is yours, sign in to it instead.",
                code="email_held_by_another",
                status=409,
                next_step=NextStep("Go to your account", "/account"),
            )
        return RedirectResponse("/account?done=email-verified", status_code=303)


class ResendVerificationEndpoint:
    """`POST /account/email/verify`: mails the link for one of the person's own addresses again."""

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
        own = await self._database.read(email_addresses.of_account, account_id=form.session.account_id)
        wanted = form.fields.get("email_id")
        claimed = next((address for address in own if address.id == wanted), None)
        if claimed is None:
            raise PageError(
                "This address is not in your account",
                "It may have been removed meanwhile. Nothing was sent.",
                code="unknown_email",
                status=404,
                next_step=NextStep("Go to your account", "/account"),
            )
        is_unverified = claimed.verified_at is None
        if is_unverified and await mailbox_limit.may_receive(
            self._rate_limiter, normalized=claimed.normalized
        ):
            await self._database.transact(send_link, claimed, mail=self._mail, now=now)
        return RedirectResponse("/account?done=link-sent#e-mail", status_code=303)


async def send_link(tx: Transaction, claimed: EmailAddress, *, mail: LinkMail, now: datetime) -> None:
    """Write to a claimed address: a link to verify it or, when an account holds it, a word to its holder.

    Both take the same statements, so that neither the answer nor its time tells which it was.
    """
    held = await email_addresses.held(tx, normalized=claimed.normalized)
    token = opaque_token.new_token()
    await email_addresses.insert_verification(
        tx,
        token_sha256=opaque_token.sha256(token),
        email_address_id=claimed.id,
        expires_at=now + LINK_LIFETIME,
        now=now,
    )
    if held is None:
        values: dict[str, str | int] = {
            "link": f"{mail.issuer}/verify-email?token={token}",
            "valid_hours": LINK_LIFETIME // timedelta(hours=1),
        }
        await outbox.enqueue_mail(
            tx, "verify_email", recipient=claimed.address, values=values, sealer=mail.sealer, now=now
        )
        return
    # To the spelling that was verified, never to the one just typed.
    await outbox.enqueue_mail(
        tx, "address_in_use", recipient=held.address, values={}, sealer=mail.sealer, now=now
    )


async def verify(tx: Transaction, *, presented_token: str, account_id: str, now: datetime) -> Verification:
    """Use a mailed link once and make its address the account's, unless another account holds it.

    A link that came too late is used up all the same: the answer is returned, not raised.
    """
    address_id = await email_addresses.use_verification(
        tx, token_sha256=opaque_token.sha256(presented_token), account_id=account_id, now=now
    )
    if address_id is None:
        return Verification.UNKNOWN_LINK
    if not await email_addresses.verify(tx, address_id=address_id, now=now):
        await audit.record(
            tx,
            "email_verified",
            outcome="failure",
            reason="held_by_another",
            account_id=account_id,
            now=now,
        )
        return Verification.HELD_BY_ANOTHER
    await audit.record(tx, "email_verified", account_id=account_id, now=now)
    return Verification.VERIFIED


def _unknown_link() -> PageError:
    return PageError(
        "This link doesn't work here",
        "It was used already, is too old, or was made for another account. You can ask for a new one in "
        "your account.",
        code="unknown_link",
        status=404,
        next_step=NextStep("Go to your account", "/account"),
    )
