from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp import audit, opaque_token
from idp.accounts import display_name, email_address, email_verification, mailbox_limit, onward
from idp.accounts.email_address import EmailAddressText
from idp.accounts.email_verification import LinkMail
from idp.accounts.request_fields import text_field
from idp.clock import Clock
from idp.errors import NextStep, PageError
from idp.settings import Settings
from idp.storage import accounts, email_addresses, enrolments
from idp.storage.database import Database, Transaction
from idp.storage.email_addresses import EmailAddress
from idp.web.browser import CSRF_HEADER, Browsers
from idp.web.pages import Pages
from idp.web.parameters import json_object, query_parameters
from idp.web.rate_limit import RateLimiter

ENROLMENT_LIFETIME = timedelta(minutes=15)
_USER_HANDLE_BYTES = 32  # WebAuthn L3 §5.4.3 (id): at most 64 bytes, and nothing about the person.


@dataclass(frozen=True, slots=True)
class SignUp:
    """What a stranger said of themselves, and from which browser."""

    email: EmailAddressText
    name: str
    browser_sha256: bytes


class SignUpEndpoint:
    """`/signup`: the page, and the beginning of an account that its first passkey makes real.

    The answer is the same whether or not an account holds the address; only the mailbox learns it.
    """

    def __init__(
        self,
        *,
        database: Database,
        browsers: Browsers,
        pages: Pages,
        rate_limiter: RateLimiter,
        mail: LinkMail,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._browsers = browsers
        self._pages = pages
        self._rate_limiter = rate_limiter
        self._mail = mail
        self._settings = settings
        self._clock = clock

    async def get(self, request: Request) -> Response:
        await self._rate_limiter.count_caller("sign_in")
        request_id = onward.request_id(query_parameters(request))
        self._require_open(request_id)
        return self._pages.render(
            "signup.html", {"request_id": request_id}, browser=self._browsers.identify(request)
        )

    async def post(self, request: Request) -> Response:
        now = self._clock()
        await self._rate_limiter.count_caller("sign_in")
        fields = await json_object(request)
        browser = self._browsers.identify(request)
        self._browsers.check_form(request, browser, presented_token=request.headers.get(CSRF_HEADER))
        self._require_open("")
        sign_up = SignUp(
            email=email_address.check(text_field(fields, "email")),
            name=display_name.check(text_field(fields, "name")),
            browser_sha256=browser.sha256,
        )
        may_mail = await mailbox_limit.may_receive(self._rate_limiter, normalized=sign_up.email.normalized)
        token = await self._database.transact(begin, sign_up, mail=self._mail if may_mail else None, now=now)
        return JSONResponse({"enrolment": token}, headers={"Cache-Control": "no-store"})

    def _require_open(self, request_id: str) -> None:
        if self._settings.signup != "open":
            raise PageError(
                "Accounts are by invitation here",
                "Ask an administrator to invite you. If you were invited, open the link that you were sent.",
                code="signup_closed",
                status=403,
                next_step=NextStep("Go to sign-in", onward.with_request("/login", request_id)),
            )


async def begin(tx: Transaction, sign_up: SignUp, *, mail: LinkMail | None, now: datetime) -> str:
    """Begin an account that claims an address; answer the token with which this browser enrols a passkey.

    A claim keeps nobody else from the address: it becomes the account's by the mailed link alone. `mail`
    None: the mailbox has had enough of them.
    """
    account_id = await insert_account(tx, name=sign_up.name, role=None, now=now)
    claimed = await claim(tx, sign_up.email, account_id=account_id, now=now)
    token = opaque_token.new_token()
    await enrolments.insert(
        tx,
        token_sha256=opaque_token.sha256(token),
        kind="sign_up",
        account_id=account_id,
        browser_sha256=sign_up.browser_sha256,
        expires_at=now + ENROLMENT_LIFETIME,
        now=now,
    )
    if mail:
        await email_verification.send_link(tx, claimed, mail=mail, now=now)
    await audit.record(tx, "sign_up_begun", account_id=account_id, now=now)
    return token


async def insert_account(tx: Transaction, *, name: str, role: str | None, now: datetime) -> str:
    """Begin an account with a new subject and a new user handle; answer its id."""
    account_id = opaque_token.new_identifier()
    await accounts.insert_pending(
        tx,
        account_id=account_id,
        user_handle=opaque_token.random_bytes(_USER_HANDLE_BYTES),
        name=name,
        role=role,
        now=now,
    )
    return account_id


async def claim(tx: Transaction, email: EmailAddressText, *, account_id: str, now: datetime) -> EmailAddress:
    """Let an account say that an address is its own; nothing is believed yet."""
    claimed = EmailAddress(
        id=opaque_token.new_identifier(),
        account_id=account_id,
        address=email.address,
        normalized=email.normalized,
        is_primary=True,
        verified_at=None,
        created_at=now,
    )
    await email_addresses.insert(
        tx,
        address_id=claimed.id,
        account_id=account_id,
        address=claimed.address,
        normalized=claimed.normalized,
        is_primary=True,
        now=now,
    )
    return claimed
