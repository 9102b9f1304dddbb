"""The rooms of accounts behind the real middleware, and people who visit them with browsers."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from types import TracebackType
from typing import Self

import httpx
from starlette.routing import Router

from idp import opaque_token
from idp.accounts.account_connections import WithdrawConnectionEndpoint
from idp.accounts.account_deletion import CancelDeletionEndpoint, DeleteAccountEndpoint
from idp.accounts.account_emails import AddEmailEndpoint, MakePrimaryEmailEndpoint, RemoveEmailEndpoint
from idp.accounts.account_export import ExportAccountEndpoint
from idp.accounts.account_page import AccountPageEndpoint
from idp.accounts.account_passkeys import (
    AddPasskeyEndpoint,
    RemovePasskeyEndpoint,
    RenamePasskeyEndpoint,
)
from idp.accounts.account_sessions import (
    EndAllSessionsEndpoint,
    EndSessionEndpoint,
    SignOutEndpoint,
)
from idp.accounts.email_address import check
from idp.accounts.email_verification import LinkMail, ResendVerificationEndpoint, VerifyEmailEndpoint
from idp.accounts.enrolment_link import EnrolmentLinkEndpoint
from idp.accounts.notice import NoticeEndpoint
from idp.accounts.recover import RecoverEndpoint
from idp.accounts.sign_up import SignUpEndpoint
from idp.accounts.signed_in import SignedInForms
from idp.clients.registry import ClientRegistry
from idp.keys.encryption import EncryptionAtRest
from idp.keys.master_key import MasterKey
from idp.notifications.outbox import MAIL_VALUES, unseal_values
from idp.oauth.logout.signed_out import SignedOutEndpoint
from idp.sessions import browser_session
from idp.sessions.browser_session import Authentication
from idp.sessions.cookie import SessionCookies
from idp.settings import Settings
from idp.storage import accounts, clients, confirmations, credentials, email_addresses, outbox
from idp.storage.browser_sessions import BrowserSession
from idp.storage.confirmations import Receipt
from idp.storage.credentials import Credential
from idp.storage.database import Database, Transaction
from idp.web.browser import Browsers
from idp.web.client_response import ClientResponse
from idp.web.error_responses import ErrorResponses
from idp.web.pages import Pages
from idp.web.rate_limit import RateLimiter
from idp.web.request_context import RequestContextMiddleware
from idp.web.routing import not_found, route
from idp.web.security_headers import SecurityHeadersMiddleware
from idp.web.static_files import StaticFiles
from tests.support.frozen_clock import FrozenClock

ORIGIN = "http://localhost:8000"
CHROME = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)


@dataclass(frozen=True)
class Mail:
    kind: str
    recipient: str
    link: str


class Site:
    """One node that serves the pages of accounts, on a database and a clock of the test's."""

    def __init__(self, database: Database, clock: FrozenClock, settings: Settings | None = None) -> None:
        self.database = database
        self.clock = clock
        self.settings = settings or Settings()
        self.sealer = EncryptionAtRest(MasterKey(b"m" * 32))
        self.browsers = Browsers(csrf_key=b"c" * 32, origin=ORIGIN, is_https=False)
        self.sessions = SessionCookies(database, lifetimes=self.settings.sessions, is_https=False)
        self.registry = ClientRegistry(database)
        self.rate_limiter = RateLimiter(self.settings.rate_limit)
        self.pages = Pages(
            browsers=self.browsers,
            static_files=StaticFiles(),
            service_name=self.settings.service_name,
            issuer=ORIGIN,
        )
        self.app = self._app()

    def _app(self) -> RequestContextMiddleware:
        forms = SignedInForms(browsers=self.browsers, sessions=self.sessions)
        mail = LinkMail(issuer=ORIGIN, sealer=self.sealer)
        database, clock, browsers, pages = self.database, self.clock, self.browsers, self.pages
        sessions, limiter = self.sessions, self.rate_limiter
        routes = [
            route(
                "/signup",
                SignUpEndpoint(
                    database=database,
                    browsers=browsers,
                    pages=pages,
                    rate_limiter=limiter,
                    mail=mail,
                    settings=self.settings,
                    clock=clock,
                ),
            ),
            route(
                "/enrol",
                EnrolmentLinkEndpoint(
                    database=database,
                    browsers=browsers,
                    pages=pages,
                    rate_limiter=limiter,
                    mail=mail,
                    clock=clock,
                ),
            ),
            route(
                "/verify-email",
                VerifyEmailEndpoint(
                    database=database,
                    browsers=browsers,
                    sessions=sessions,
                    pages=pages,
                    rate_limiter=limiter,
                    clock=clock,
                ),
            ),
            route(
                "/notice",
                NoticeEndpoint(
                    database=database, browsers=browsers, sessions=sessions, pages=pages, clock=clock
                ),
            ),
            route("/recover", RecoverEndpoint(browsers=browsers, pages=pages)),
            route(
                "/signed-out",
                SignedOutEndpoint(
                    database=database,
                    registry=self.registry,
                    browsers=browsers,
                    pages=pages,
                    issuer=ORIGIN,
                    clock=clock,
                ),
            ),
            route(
                "/account",
                AccountPageEndpoint(
                    database=database,
                    browsers=browsers,
                    sessions=sessions,
                    registry=self.registry,
                    pages=pages,
                    clock=clock,
                ),
            ),
            route(
                "/account/email/verify",
                ResendVerificationEndpoint(
                    database=database, forms=forms, rate_limiter=limiter, mail=mail, clock=clock
                ),
            ),
            route(
                "/account/sessions/end",
                EndSessionEndpoint(database=database, forms=forms, sessions=sessions, clock=clock),
            ),
            route(
                "/account/sessions/end-all",
                EndAllSessionsEndpoint(
                    database=database, forms=forms, sessions=sessions, sealer=self.sealer, clock=clock
                ),
            ),
            route(
                "/account/sign-out",
                SignOutEndpoint(database=database, forms=forms, sessions=sessions, clock=clock),
            ),
            route("/account/passkeys/add", AddPasskeyEndpoint(database=database, forms=forms, clock=clock)),
            route(
                "/account/passkeys/rename",
                RenamePasskeyEndpoint(
                    database=database, forms=forms, recent=timedelta(minutes=5), clock=clock
                ),
            ),
            route(
                "/account/passkeys/remove",
                RemovePasskeyEndpoint(
                    database=database, forms=forms, sessions=sessions, sealer=self.sealer, clock=clock
                ),
            ),
            route(
                "/account/email/add",
                AddEmailEndpoint(
                    database=database, forms=forms, rate_limiter=limiter, mail=mail, clock=clock
                ),
            ),
            route(
                "/account/email/make-primary",
                MakePrimaryEmailEndpoint(database=database, forms=forms, sealer=self.sealer, clock=clock),
            ),
            route(
                "/account/email/remove",
                RemoveEmailEndpoint(database=database, forms=forms, sealer=self.sealer, clock=clock),
            ),
            route(
                "/account/export",
                ExportAccountEndpoint(
                    database=database,
                    forms=forms,
                    sessions=sessions,
                    recent=timedelta(minutes=5),
                    clock=clock,
                ),
            ),
            route(
                "/account/delete",
                DeleteAccountEndpoint(
                    database=database,
                    forms=forms,
                    delay=timedelta(days=7),
                    sealer=self.sealer,
                    clock=clock,
                ),
            ),
            route(
                "/account/delete/cancel",
                CancelDeletionEndpoint(database=database, forms=forms, sealer=self.sealer, clock=clock),
            ),
            route(
                "/account/connections/withdraw",
                WithdrawConnectionEndpoint(database=database, forms=forms, clock=clock),
            ),
        ]
        responses = ErrorResponses(
            Router(routes=routes, redirect_slashes=False, default=not_found),
            pages=self.pages,
            client_response=ClientResponse(pages=self.pages, issuer=ORIGIN),
            issuer=ORIGIN,
        )
        return RequestContextMiddleware(
            SecurityHeadersMiddleware(responses, is_https=False), trusted=(), known_paths=()
        )

    async def visitor(
        self, account_id: str | None = None, *, credential_id: bytes | None = None
    ) -> "Visitor":
        """Open a browser, signed in to the account if one is named."""
        visitor = Visitor(self)
        if account_id is not None:
            started = await self.start_session(account_id, credential_id=credential_id)
            # The cookie jar of Python knows a host without a dot by this name.
            visitor.client.cookies.set("idp-session", started.cookie_token, domain="localhost.local")
            visitor.session = started.session
        return visitor

    async def start_session(
        self, account_id: str, *, credential_id: bytes | None = None
    ) -> browser_session.StartedSession:
        async def start(tx: Transaction, *, now: datetime) -> browser_session.StartedSession:
            account = await accounts.find(tx, account_id=account_id)
            assert account is not None
            return await browser_session.start(
                tx,
                Authentication(
                    account_id=account_id,
                    account_epoch=account.token_epoch,
                    credential_id=credential_id,
                    amr=("hwk", "user"),
                    acr="urn:idp:acr:passkey",
                ),
                lifetimes=self.settings.sessions,
                user_agent=CHROME,
                address="203.0.113.7",
                now=now,
            )

        return await self.database.transact(start, now=self.clock())

    async def person(
        self, *, email: str | None = "ada@example.com", is_verified: bool = True, name: str = "Ada"
    ) -> str:
        """Make an active account; answer its id."""
        account_id = opaque_token.new_identifier()

        async def make(tx: Transaction, *, now: datetime) -> None:
            await accounts.insert_pending(
                tx,
                account_id=account_id,
                user_handle=opaque_token.random_bytes(32),
                name=name,
                role=None,
                now=now,
            )
            await accounts.activate(tx, account_id=account_id, now=now)
            if email is None:
                return
            text = check(email)
            address_id = opaque_token.new_identifier()
            await email_addresses.insert(
                tx,
                address_id=address_id,
                account_id=account_id,
                address=text.address,
                normalized=text.normalized,
                is_primary=True,
                now=now,
            )
            if is_verified:
                assert await email_addresses.verify(tx, address_id=address_id, now=now)

        await self.database.transact(make, now=self.clock())
        return account_id

    async def passkey(self, account_id: str, *, name: str = "Ada's MacBook", is_synced: bool = True) -> bytes:
        """Give an account a passkey; answer its id."""
        credential = Credential(
            id=opaque_token.random_bytes(32),
            account_id=account_id,
            rp_id="localhost",
            public_key=b"key",
            sign_count=0,
            transports=["internal"],
            aaguid="00000000-0000-0000-0000-000000000000",
            backup_eligible=is_synced,
            backed_up=is_synced,
            user_verified=True,
            name=name,
            suspected_clone_at=None,
            created_at=self.clock(),
            last_used_at=None,
        )
        assert await self.database.transact(credentials.insert, credential)
        return credential.id

    async def confirm(self, operation: str) -> None:
        """Confirm an operation, as the ceremony would after its checks."""
        receipt = Receipt(
            id=operation,
            account_id="",
            operation=b"",
            credential_id=b"",
            public_key=b"",
            rp_id="",
            origins=[],
            client_data_json=b"",
            authenticator_data=b"",
            signature=b"",
            confirmed_at=self.clock(),
        )
        await self.database.transact(confirmations.confirm, receipt)

    async def app_client(self, client_id: str = "app", *, name: str = "Demo App") -> str:
        """Register a client."""
        await self.database.transact(
            clients.insert,
            client_id=client_id,
            metadata={"client_name": name, "redirect_uris": ["https://app.example/cb"]},
            is_first_party=False,
            now=self.clock(),
        )
        return client_id

    async def mails(self) -> list[Mail]:
        """Take every mail that waits."""
        now = self.clock()
        waiting = await self.database.transact(
            outbox.lease, kinds=MAIL_VALUES.keys(), until=now, limit=1000, now=now
        )
        mails = []
        for message in waiting:
            link = str(unseal_values(message, sealer=self.sealer).get("link", ""))
            mails.append(Mail(kind=message.kind, recipient=message.recipient, link=link.removeprefix(ORIGIN)))
            await self.database.transact(outbox.finish, message_id=message.id, outcome="sent", now=now)
        return mails


class Visitor:
    """One browser: its cookies, and the token of the page that it has open."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=site.app, client=("203.0.113.7", 1)),
            base_url=ORIGIN,
            headers={"Accept": "text/html", "User-Agent": CHROME},
        )
        self.session: BrowserSession | None = None
        self._csrf = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def open(self, address: str) -> httpx.Response:
        response = await self.client.get(address)
        if found := re.search(r'data-csrf="([^"]+)"', response.text):
            self._csrf = unescape(found[1])
        return response

    async def send(self, address: str, **fields: str) -> httpx.Response:
        """Send a form as our own page would; the token comes from the page opened last."""
        if not self._csrf:
            await self.open("/recover")
        return await self.client.post(
            address, data={"csrf_token": self._csrf, **fields}, headers={"Origin": ORIGIN}
        )

    async def send_confirmed(self, address: str, **fields: str) -> httpx.Response:
        """Send a form whose operation a passkey then confirms (tests/passkeys has the ceremony itself)."""
        asked = await self.send(address, **fields)
        assert asked.status_code == 303, asked.text
        page, _, operation = asked.headers["location"].partition("?operation=")
        assert page == "/confirm"
        await self.site.confirm(operation)
        return await self.send(address, operation=operation)

    async def send_json(self, address: str, **fields: object) -> httpx.Response:
        """Send JSON as our own script would."""
        if not self._csrf:
            await self.open("/recover")
        headers = {"Origin": ORIGIN, "X-CSRF-Token": self._csrf, "Accept": "application/json"}
        return await self.client.post(address, json=fields, headers=headers)
