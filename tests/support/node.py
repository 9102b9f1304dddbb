"""One node of the provider in this process, spoken to over ASGI, with people and clients already there."""

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx

from idp import opaque_token
from idp.app import Provider, build_provider
from idp.clients import registration
from idp.clients.client import Client
from idp.clients.metadata import parse_metadata
from idp.keys.master_key import MasterKey
from idp.keys.rotation import FreshKey, ensure_keys, generate_key
from idp.keys.timetable import Timetable
from idp.sessions import browser_session
from idp.sessions.browser_session import Authentication
from idp.settings import Settings
from idp.storage import accounts, email_addresses, grants
from idp.storage.database import Transaction
from idp.storage.grants import Grant
from tests.support.frozen_clock import FrozenClock

ISSUER = "https://id.example"
MASTER_KEY = MasterKey(bytes(range(32)))
REDIRECT_URI = "https://app.example/cb"
Claims = dict[str, Any]  # Any: what a JWT holds is for the test to say.


@cache
def _signing_key() -> FreshKey:
    """One key pair for all tests of this process: making one costs more than most tests."""
    return generate_key(rsa_bits=2048, master_key=MASTER_KEY)


@dataclass
class Person:
    """A person with a session at the provider."""

    account_id: str
    email: str
    session_id: str = ""
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass
class App:
    """A registered client, with what its developer knows."""

    client: Client
    secret: str | None
    redirect_uri: str = REDIRECT_URI

    @property
    def id(self) -> str:
        return self.client.id

    @property
    def auth(self) -> tuple[str, str] | None:
        return (self.id, self.secret) if self.secret else None


class Node:
    """What tests do with a node: seed it, speak HTTP to it, look at its rows."""

    def __init__(self, provider: Provider, clock: FrozenClock) -> None:
        self.provider = provider
        self.clock = clock
        self.http = self.browser()

    def browser(self, cookies: dict[str, str] | None = None) -> httpx.AsyncClient:
        """Open a browser of its own cookies; redirects are followed by the test."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.provider.asgi, raise_app_exceptions=True),
            base_url=ISSUER,
            cookies=cookies,
        )

    async def app(self, *, first_party: bool = False, **metadata: object) -> App:
        """Register a client; a confidential web app unless the metadata say otherwise."""
        values = {"client_name": "Demo App", "redirect_uris": [REDIRECT_URI]} | metadata
        registered = await self.provider.database.transact(
            registration.register,
            metadata=parse_metadata(values),
            is_first_party=first_party,
            now=self.clock(),
        )
        uris = registered.client.metadata.redirect_uris
        return App(registered.client, registered.client_secret, uris[0] if uris else REDIRECT_URI)

    async def person(self, email: str = "ada@example.com", *, verified: bool = True) -> Person:
        """Make a person and sign one browser in."""
        account_id = await self.provider.database.transact(
            _insert_person, email=email, verified=verified, now=self.clock()
        )
        person = Person(account_id=account_id, email=email)
        await self.sign_in(person)
        return person

    async def sign_in(self, person: Person) -> None:
        """Give the person a fresh session, as a passkey would."""
        started = await self.provider.database.transact(
            _start_session, account_id=person.account_id, settings=self.provider.settings, now=self.clock()
        )
        person.session_id = started.session.id
        person.cookies = person.cookies | {"__Host-idp-session": started.cookie_token}

    async def authorize(self, app: App, person: Person, **parameters: str) -> httpx.Response:
        """Send the person's browser to the authorization endpoint."""
        query = authorization_parameters(app) | parameters
        async with self.browser(person.cookies) as browser:
            response = await browser.get("/authorize", params={k: v for k, v in query.items() if v})
            person.cookies |= dict(browser.cookies)
        return response

    async def allow(self, app: App, person: Person, **parameters: str) -> httpx.Response:
        """Send the person's browser through authorization, allowing what is asked."""
        query = authorization_parameters(app) | parameters
        async with self.browser(person.cookies) as browser:
            response = await browser.get("/authorize", params={k: v for k, v in query.items() if v})
            if response.headers.get("location", "").startswith("/consent"):
                page = await browser.get(response.headers["location"])
                form = {
                    "request": parse_qs(urlsplit(response.headers["location"]).query)["request"][0],
                    "csrf_token": between(page.text, 'name="csrf_token" value="', '"'),
                    "decision": "allow",
                }
                answer = await browser.post("/consent", data=form)
                response = await browser.get(answer.headers["location"])
            person.cookies |= dict(browser.cookies)
        return response

    async def code(self, app: App, person: Person, **parameters: str) -> str:
        """Get a code for the app (with the verifier that `VERIFIER` is)."""
        return location_parameters(await self.allow(app, person, **parameters))["code"]

    async def redeem(self, app: App, code: str, **changes: str | None) -> httpx.Response:
        """Redeem a code as its app would, but for the changes."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": app.redirect_uri,
            "code_verifier": VERIFIER,
        }
        return await self.token(app, form, **changes)

    async def refresh(self, app: App, refresh_token: str, **changes: str | None) -> httpx.Response:
        """Refresh as the app would, but for the changes."""
        return await self.token(
            app, {"grant_type": "refresh_token", "refresh_token": refresh_token}, **changes
        )

    async def token(self, app: App, form: dict[str, str], **changes: str | None) -> httpx.Response:
        """Ask the token endpoint as the app, by its registered method."""
        fields = {name: value for name, value in (form | changes).items() if value is not None}
        if app.secret is None:
            fields.setdefault("client_id", app.id)
            return await self.http.post("/token", data=fields)
        return await self.http.post("/token", data=fields, auth=(app.id, app.secret))

    async def tokens(self, app: App, person: Person, **parameters: str) -> dict[str, Any]:
        """Go the whole way: authorize, allow, redeem."""
        response = await self.redeem(app, await self.code(app, person, **parameters))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def grant(self, token: dict[str, Any]) -> Grant:
        """Read the row behind a token response."""
        jti = str(claims_of(token["access_token"])["jti"])
        grant_id = (opaque_token.decode(jti) or b"")[:16]
        found = await self.provider.database.read(grants.find, grant_id=grant_id)
        assert found is not None
        return found

    async def userinfo(self, access_token: str) -> httpx.Response:
        """Ask who the token is about."""
        return await self.http.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"})


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
# RFC 7636, appendix B.
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def authorization_parameters(app: App) -> dict[str, str]:
    """A request that is right in every word."""
    return {
        "client_id": app.id,
        "redirect_uri": app.redirect_uri,
        "response_type": "code",
        "scope": "openid profile email offline_access",
        "state": "s-1",
        "nonce": "n-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


def location_parameters(response: httpx.Response) -> dict[str, str]:
    """The parameters of a redirect, each once."""
    pairs = parse_qsl(urlsplit(response.headers["location"]).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), "a parameter is repeated"
    return dict(pairs)


def claims_of(token: str) -> Claims:
    """Read a JWT's payload without verifying it."""
    payload = token.split(".")[1]
    claims: Claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def header_of(token: str) -> Claims:
    """Read a JWT's header."""
    header = token.split(".", maxsplit=1)[0]
    found: Claims = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    return found


def new_pkce() -> tuple[str, str]:
    """Draw a verifier; answer it with its challenge."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def between(text: str, before: str, after: str) -> str:
    """Cut out what stands between two texts."""
    return text.split(before, 1)[1].split(after, 1)[0]


def encoded(parameters: dict[str, str]) -> str:
    """Spell parameters for an address."""
    return urlencode(parameters)


@asynccontextmanager
async def running_node(
    database_url: str, clock: FrozenClock, folder: Path, **settings: object
) -> AsyncIterator[Node]:
    """Start a node on a migrated database, with the tests' own signing key."""
    key_file = folder / "master.key"
    if not key_file.exists():
        key_file.write_text(opaque_token.encode(MASTER_KEY.secret) + "\n")
        key_file.chmod(0o600)
    values = {
        "issuer": ISSUER,
        "database_url": database_url,
        "master_key_file": key_file,
        "data_directory": folder,
        "log_level": "error",
    } | settings
    provider = build_provider(Settings.model_validate(values), clock=clock)
    timetable = Timetable.from_settings(provider.settings)
    await provider.database.transact(ensure_keys, fresh=_signing_key(), timetable=timetable, now=clock())
    await provider.lifecycle.start()
    node = Node(provider, clock)
    try:
        yield node
    finally:
        await node.http.aclose()
        await provider.lifecycle.stop()


async def _insert_person(tx: Transaction, *, email: str, verified: bool, now: datetime) -> str:
    account_id = opaque_token.new_identifier()
    await accounts.insert_pending(
        tx,
        account_id=account_id,
        user_handle=opaque_token.random_bytes(32),
        name="Ada Lovelace",
        role=None,
        now=now,
    )
    await accounts.activate(tx, account_id=account_id, now=now)
    address_id = opaque_token.new_identifier()
    await email_addresses.insert(
        tx,
        address_id=address_id,
        account_id=account_id,
        address=email,
        normalized=email,
        is_primary=True,
        now=now,
    )
    if verified:
        await email_addresses.verify(tx, address_id=address_id, now=now)
    return account_id


async def _start_session(
    tx: Transaction, *, account_id: str, settings: Settings, now: datetime
) -> browser_session.StartedSession:
    account = await accounts.find(tx, account_id=account_id)
    assert account is not None
    return await browser_session.start(
        tx,
        Authentication(
            account_id=account_id,
            account_epoch=account.token_epoch,
            credential_id=None,
            amr=("swk", "user", "mfa"),
            acr="phr",
        ),
        lifetimes=settings.sessions,
        user_agent="test",
        address="127.0.0.1",
        now=now,
    )
