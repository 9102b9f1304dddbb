"""A provider of passkey endpoints alone, over real storage, and the browsers that visit it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Unpack

import httpx
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

from idp import opaque_token
from idp.clients.registry import ClientRegistry
from idp.keys.encryption import EncryptionAtRest
from idp.keys.master_key import MasterKey
from idp.passkeys import relying_party
from idp.passkeys.endpoints.accepted import AcceptedPasskeys
from idp.passkeys.endpoints.addition import Addition, AdditionOptions
from idp.passkeys.endpoints.authentication import Authentication, AuthenticationOptions
from idp.passkeys.endpoints.browser_sign_in import BrowserSignIn
from idp.passkeys.endpoints.ceremony_gate import CeremonyGate
from idp.passkeys.endpoints.confirmation import Confirmation, ConfirmationOptions, ConfirmPage
from idp.passkeys.endpoints.enrolment import Enrolment, EnrolmentOptions
from idp.passkeys.endpoints.login import LoginPage, MethodsPage
from idp.passkeys.endpoints.offer import PasskeyOffer
from idp.passkeys.endpoints.related_origins import RelatedOrigins
from idp.sessions import confirmation
from idp.sessions.confirmation import OperationKind
from idp.sessions.cookie import SessionCookies
from idp.settings import Passkeys, RateLimit, Settings
from idp.storage import (
    accounts,
    audit_log,
    browser_sessions,
    credentials,
    email_addresses,
    enrolments,
    tables,
)
from idp.storage.audit_log import AuditRow
from idp.storage.browser_sessions import BrowserSession
from idp.storage.credentials import Credential
from idp.storage.database import Database, Transaction
from idp.web.browser import CSRF_HEADER, Browsers
from idp.web.client_response import ClientResponse
from idp.web.error_responses import ErrorResponses
from idp.web.pages import Pages
from idp.web.rate_limit import RateLimiter
from idp.web.request_context import RequestContextMiddleware
from idp.web.routing import route
from idp.web.security_headers import SecurityHeadersMiddleware
from idp.web.static_files import StaticFiles
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import (
    Algorithm,
    CreationSpoilt,
    Json,
    RequestSpoilt,
    SoftwareAuthenticator,
    SoftwarePasskey,
)

ISSUER = "https://id.example.com"
DECOY_KEY = b"d" * 32
SESSION_COOKIE = "__Host-idp-session"
BROWSER_COOKIE = "__Host-idp-browser"
PLENTY = "100000 per minute"


def normalize(address: str) -> str | None:
    return address.strip().lower() if address.count("@") == 1 else None


class PasskeySite:
    """The application under test, and the rows that another room would have made."""

    def __init__(
        self, database: Database, clock: FrozenClock, *, passkeys: Passkeys | None = None, rate: str = PLENTY
    ) -> None:
        self.database = database
        self.clock = clock
        settings = Settings(
            issuer=ISSUER,
            passkeys=passkeys or Passkeys(),
            rate_limit=RateLimit(ceremony=rate, sign_in=rate),
        )
        self.sealer = EncryptionAtRest(MasterKey(b"m" * 32))
        self.browsers = Browsers(csrf_key=b"c" * 32, origin=ISSUER, is_https=True)
        self.app = self._application(settings)
        self._clients: list[httpx.AsyncClient] = []

    def browser(self, *, user_agent: str = "Test browser") -> "VisitingBrowser":
        """Open a browser that nobody has used yet."""
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url=ISSUER,
            headers={"User-Agent": user_agent, "Accept": "application/json"},
        )
        self._clients.append(client)
        return VisitingBrowser(self, client)

    async def close(self) -> None:
        """Close every browser."""
        await asyncio.gather(*(client.aclose() for client in self._clients))

    async def account(
        self, *, email: str = "ada@example.com", name: str = "Ada", role: str | None = None
    ) -> str:
        """Begin an account that has no passkey yet; answer its id."""
        account_id = opaque_token.new_identifier()

        async def insert(tx: Transaction) -> None:
            await accounts.insert_pending(
                tx,
                account_id=account_id,
                user_handle=opaque_token.random_bytes(32),
                name=name,
                role=role,
                now=self.clock(),
            )
            await email_addresses.insert(
                tx,
                address_id=opaque_token.new_identifier(),
                account_id=account_id,
                address=email,
                normalized=email.lower(),
                is_primary=True,
                now=self.clock(),
            )

        await self.database.transact(insert)
        return account_id

    async def enrolment(
        self, account_id: str, *, kind: str = "invitation", browser_sha256: bytes | None = None
    ) -> str:
        """Give the account a right to enrol; answer its token."""
        token = opaque_token.new_token()
        now = self.clock()
        await self.database.transact(
            enrolments.insert,
            token_sha256=opaque_token.sha256(token),
            kind=kind,
            account_id=account_id,
            browser_sha256=browser_sha256,
            expires_at=now.replace(year=now.year + 1),
            now=now,
        )
        return token

    async def person(
        self,
        *,
        email: str = "ada@example.com",
        authenticator: SoftwareAuthenticator | None = None,
        algorithm: Algorithm | None = None,
    ) -> "Person":
        """Enrol somebody, who is then signed in with a browser of their own."""
        authenticator = authenticator or SoftwareAuthenticator()
        browser = self.browser()
        account_id = await self.account(email=email)
        token = await self.enrolment(account_id)
        answer = await browser.enrol(token, authenticator, algorithm=algorithm)
        assert answer.status_code == 200, answer.text
        browser.authenticator = authenticator
        return Person(account_id, browser, authenticator, authenticator.passkeys[-1])

    async def credentials_of(self, account_id: str) -> list[Credential]:
        return await self.database.read(credentials.of_account, account_id=account_id)

    async def sessions_of(self, account_id: str) -> list[BrowserSession]:
        now = self.clock()
        return await self.database.read(
            browser_sessions.live_of_account,
            account_id=account_id,
            idle_since=now.replace(year=now.year - 1),
            now=now,
        )

    async def events_of(self, account_id: str) -> list[AuditRow]:
        return await self.database.read(audit_log.of_account, account_id=account_id, limit=100)

    async def last_event(self) -> AuditRow:
        return (await self.database.read(audit_log.after, row_id=0, limit=10_000))[-1]

    async def digest(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that a refused ceremony must leave as it was: all but challenges and the audit log."""

        async def read(tx: Transaction) -> dict[str, list[tuple[Any, ...]]]:
            return {
                table.name: sorted((tuple(row) for row in await tx.execute(sa.select(table))), key=repr)
                for table in (
                    tables.accounts,
                    tables.credentials,
                    tables.browser_sessions,
                    tables.enrolments,
                    tables.interactions,
                )
            }

        return await self.database.read(read)

    async def execute(self, statement: sa.Executable) -> None:
        """Change a row behind the product's back."""

        async def run(tx: Transaction) -> None:
            await tx.execute(statement)

        await self.database.transact(run)

    def _application(self, settings: Settings) -> Starlette:
        party = relying_party.of_settings(settings)
        pages = Pages(
            browsers=self.browsers, static_files=StaticFiles(), service_name="Example ID", issuer=ISSUER
        )
        cookies = SessionCookies(self.database, lifetimes=settings.sessions, is_https=True)
        limiter = RateLimiter(settings.rate_limit)
        gate = CeremonyGate(browsers=self.browsers, rate_limiter=limiter)
        sign_in = BrowserSignIn(browsers=self.browsers, cookies=cookies)
        parts: dict[str, Any] = {  # Any: arguments that several endpoints share
            "database": self.database,
            "gate": gate,
            "relying_party": party,
            "clock": self.clock,
        }
        routes = [
            route(
                "/login",
                LoginPage(
                    database=self.database,
                    browsers=self.browsers,
                    cookies=cookies,
                    pages=pages,
                    rate_limiter=limiter,
                    clients=ClientRegistry(self.database),
                    normalize=normalize,
                    service_name="Example ID",
                    is_signup_open=True,
                    clock=self.clock,
                ),
            ),
            route("/login/methods", MethodsPage(browsers=self.browsers, pages=pages, rate_limiter=limiter)),
            route(
                "/passkeys/authentication/options",
                AuthenticationOptions(decoy_key=DECOY_KEY, normalize=normalize, **parts),
            ),
            route(
                "/passkeys/authentication",
                Authentication(
                    browser_sign_in=sign_in,
                    lifetimes=settings.sessions,
                    nudge_interval=timedelta(days=30),
                    **parts,
                ),
            ),
            route("/passkeys/enrolment/options", EnrolmentOptions(**parts)),
            route(
                "/passkeys/enrolment",
                Enrolment(browser_sign_in=sign_in, lifetimes=settings.sessions, sealer=self.sealer, **parts),
            ),
            route("/passkeys/addition/options", AdditionOptions(cookies=cookies, **parts)),
            route("/passkeys/addition", Addition(cookies=cookies, sealer=self.sealer, **parts)),
            route(
                "/passkeys/offer",
                PasskeyOffer(browsers=self.browsers, cookies=cookies, pages=pages, clock=self.clock),
            ),
            route(
                "/passkeys/accepted",
                AcceptedPasskeys(
                    database=self.database, cookies=cookies, relying_party=party, clock=self.clock
                ),
            ),
            route(
                "/confirm",
                ConfirmPage(
                    database=self.database,
                    browsers=self.browsers,
                    cookies=cookies,
                    pages=pages,
                    clock=self.clock,
                ),
            ),
            route("/passkeys/confirmation/options", ConfirmationOptions(cookies=cookies, **parts)),
            route("/passkeys/confirmation", Confirmation(cookies=cookies, **parts)),
            route("/.well-known/webauthn", RelatedOrigins(relying_party=party)),
        ]
        return Starlette(
            routes=routes,
            middleware=[
                Middleware(RequestContextMiddleware, trusted=(), known_paths=()),
                Middleware(SecurityHeadersMiddleware, is_https=True),
                Middleware(
                    ErrorResponses,
                    pages=pages,
                    client_response=ClientResponse(pages=pages, issuer=ISSUER),
                    issuer=ISSUER,
                ),
            ],
        )


class VisitingBrowser:
    """One browser: its cookies, and what the scripts of our pages send from it."""

    def __init__(self, site: PasskeySite, client: httpx.AsyncClient) -> None:
        self.site = site
        self.client = client
        self.authenticator = SoftwareAuthenticator()
        visitor = site.browsers.renewed()
        self.put_cookie(BROWSER_COOKIE, visitor.token)

    @property
    def sha256(self) -> bytes:
        """What the database knows the browser by."""
        return opaque_token.sha256(self.client.cookies[BROWSER_COOKIE])

    @property
    def csrf_token(self) -> str:
        """What a page that was loaded a moment ago carries."""
        request = Request(
            {
                "type": "http",
                "headers": [(b"cookie", f"{BROWSER_COOKIE}={self.client.cookies[BROWSER_COOKIE]}".encode())],
            }
        )
        return self.site.browsers.identify(request).csrf_token

    @property
    def is_signed_in(self) -> bool:
        """Whether it holds a session's cookie, live or not."""
        return SESSION_COOKIE in self.client.cookies

    def put_cookie(self, name: str, value: str) -> None:
        """Plant a cookie, in place of the one that the server set."""
        if name in self.client.cookies:
            self.client.cookies.delete(name)
        self.client.cookies.set(name, value, domain="id.example.com", path="/")

    async def post(self, path: str, body: Json, *, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send what a script of ours would, from a page loaded a moment ago."""
        own = {CSRF_HEADER: self.csrf_token, "Origin": ISSUER}
        sent = httpx.Headers(own | (headers or {}), encoding="utf-8")
        return await self.client.post(path, json=body, headers=sent)

    async def options(self, ceremony: str, body: Json | None = None) -> Json:
        """Begin a ceremony; answer its options."""
        answer = await self.post(f"/passkeys/{ceremony}/options", body or {})
        assert answer.status_code == 200, answer.text
        options: Json = answer.json()
        return options

    async def session(self) -> BrowserSession:
        """What the database knows of the session whose cookie is here."""
        now = self.site.clock()
        session = await self.site.database.read(
            browser_sessions.find_live,
            cookie_sha256=opaque_token.sha256(self.client.cookies[SESSION_COOKIE]),
            idle_since=now.replace(year=now.year - 1),
            now=now,
        )
        assert session is not None
        return session

    async def ask(self, kind: OperationKind = "passkey.add", **parameters: str) -> str:
        """Let an operation of this session wait, as another room would; answer its id."""
        return await self.site.database.transact(
            confirmation.ask,
            kind,
            session=await self.session(),
            parameters=parameters,
            address="/account/somewhere",
            now=self.site.clock(),
        )

    async def confirm(
        self,
        operation: str,
        authenticator: SoftwareAuthenticator | None = None,
        **spoilt: Unpack[RequestSpoilt],
    ) -> httpx.Response:
        """Confirm an operation with a passkey, with what the test spoils."""
        options = await self.options("confirmation", {"operation": operation})
        credential = (authenticator or self.authenticator).get(options, origin=ISSUER, **spoilt)
        return await self.post("/passkeys/confirmation", {"operation": operation, "credential": credential})

    async def confirmed(self) -> str:
        """Confirm that a passkey may be added; answer the operation's id."""
        operation = await self.ask()
        answer = await self.confirm(operation)
        assert answer.status_code == 200, answer.text
        return operation

    async def addition_options(self) -> Json:
        """Begin to add a passkey, as whoever confirmed it may."""
        return await self.options("addition", {"operation": await self.confirmed()})

    async def enrol(
        self,
        token: str,
        authenticator: SoftwareAuthenticator,
        *,
        origin: str = ISSUER,
        algorithm: Algorithm | None = None,
        **spoilt: Unpack[CreationSpoilt],
    ) -> httpx.Response:
        """Run a whole enrolment, with what the test spoils."""
        options = await self.options("enrolment", {"enrolment": token})
        credential = authenticator.create(options, origin=origin, algorithm=algorithm, **spoilt)
        return await self.finish_enrolment(token, credential)

    async def finish_enrolment(self, token: str, credential: Any, *, request: str = "") -> httpx.Response:
        return await self.post(
            "/passkeys/enrolment", {"enrolment": token, "credential": credential, "request": request}
        )

    async def sign_in(
        self,
        authenticator: SoftwareAuthenticator,
        *,
        email: str | None = None,
        request: str = "",
        origin: str = ISSUER,
        passkey: SoftwarePasskey | None = None,
        **spoilt: Unpack[RequestSpoilt],
    ) -> httpx.Response:
        """Run a whole sign-in, with what the test spoils."""
        options = await self.options("authentication", {"email": email} if email else {})
        credential = authenticator.get(options, origin=origin, passkey=passkey, **spoilt)
        return await self.finish_sign_in(credential, request=request)

    async def finish_sign_in(self, credential: Any, *, request: str = "") -> httpx.Response:
        return await self.post("/passkeys/authentication", {"credential": credential, "request": request})

    async def add(
        self,
        authenticator: SoftwareAuthenticator,
        *,
        name: Any = None,
        **spoilt: Unpack[CreationSpoilt],
    ) -> httpx.Response:
        """Add a passkey to the account that is signed in here."""
        options = await self.addition_options()
        credential = authenticator.create(options, origin=ISSUER, **spoilt)
        return await self.post("/passkeys/addition", {"credential": credential, "name": name})


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account, a passkey and a browser that is signed in."""

    account_id: str
    browser: VisitingBrowser
    authenticator: SoftwareAuthenticator
    passkey: SoftwarePasskey


def assert_refused(answer: httpx.Response, *, status: int = 400, code: str = "passkey_refused") -> None:
    """Assert the one answer that every failed ceremony gets."""
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert set(answer.json()) == {"error", "message", "reference"}
    assert "set-cookie" not in answer.headers
