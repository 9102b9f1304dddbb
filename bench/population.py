"""People, apps and passkeys to put load on: rows for us where a ceremony is not what is measured."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bench.http_client import Connection
from bench.profiles import REDIRECT_URI, SCOPE, Target, Visitor, get_tokens, open_page, post_json
from bench.servers import OUR_PATHS, PEER_PATHS, PEER_RESOURCE
from idp import opaque_token
from idp.app import build_provider
from idp.clients import registration
from idp.clients.metadata import parse_metadata
from idp.clock import system_clock
from idp.keys.master_key import write_new_master_key
from idp.sessions import browser_session
from idp.sessions.browser_session import Authentication
from idp.settings import Sessions, Settings
from idp.storage import accounts, connections, email_addresses, enrolments
from idp.storage.database import Database, Transaction
from idp.storage.migration import migrate
from tests.support.software_authenticator import SoftwareAuthenticator

CONFIDENTIAL = {
    "client_name": "Bench",
    "redirect_uris": [REDIRECT_URI],
    "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    "scope": f"{SCOPE} api",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a session, and the right to enrol a passkey."""

    session_cookie: str
    enrolment_token: str


@dataclass(frozen=True, slots=True)
class Population:
    """What was put into our database."""

    target: Target
    people: tuple[Person, ...]


async def populate(database_url: str, *, port: int, folder: Path, people: int) -> Population:
    """Migrate a database and fill it with one client and as many people as asked."""
    await migrate(database_url)
    key_file = folder / "master.key"
    write_new_master_key(key_file)
    settings = Settings(
        issuer=f"http://localhost:{port}",
        database_url=database_url,
        master_key_file=key_file,
        data_directory=folder,
        log_level="error",
    )
    provider = build_provider(settings)
    await provider.lifecycle.start()
    try:
        return await _fill(provider.database, port=port, people=people, now=system_clock())
    finally:
        await provider.lifecycle.stop()


async def _fill(database: Database, *, port: int, people: int, now: datetime) -> Population:
    registered = await database.transact(
        registration.register, metadata=parse_metadata(CONFIDENTIAL), is_first_party=True, now=now
    )
    found = [
        await database.transact(_insert_person, number=number, client_id=registered.client.id, now=now)
        for number in range(people)
    ]
    target = Target(port, OUR_PATHS, registered.client.id, registered.client_secret or "", None)
    return Population(target, tuple(found))


async def _insert_person(tx: Transaction, *, number: int, client_id: str, now: datetime) -> Person:
    account_id, enrolment_token = opaque_token.new_identifier(), opaque_token.new_token()
    address = f"person-{number}@example.com"
    await accounts.insert_pending(
        tx,
        account_id=account_id,
        user_handle=opaque_token.random_bytes(32),
        name="Ada Lovelace",
        role=None,
        now=now,
    )
    await accounts.activate(tx, account_id=account_id, now=now)
    await email_addresses.insert(
        tx,
        address_id=opaque_token.new_identifier(),
        account_id=account_id,
        address=address,
        normalized=address,
        is_primary=True,
        now=now,
    )
    await connections.allow(tx, account_id=account_id, client_id=client_id, scopes=SCOPE.split(), now=now)
    await enrolments.insert(
        tx,
        token_sha256=opaque_token.sha256(enrolment_token),
        kind="invitation",
        account_id=account_id,
        browser_sha256=None,
        expires_at=now + timedelta(days=1),
        now=now,
    )
    started = await browser_session.start(
        tx,
        Authentication(
            account_id=account_id, account_epoch=0, credential_id=None, amr=("swk", "user", "mfa"), acr="phr"
        ),
        lifetimes=Sessions(),
        user_agent="bench",
        address="127.0.0.1",
        now=now,
    )
    return Person(started.cookie_token, enrolment_token)


async def our_visitors(population: Population) -> list[Visitor]:
    """Open a connection for each person, with tokens of their own."""
    visitors = [
        Visitor(
            population.target,
            await Connection.open(population.target.port),
            {"idp-session": person.session_cookie},
        )
        for person in population.people
    ]
    for visitor in visitors:
        await get_tokens(visitor, resource=None)
    return visitors


async def passkey_visitors(population: Population) -> list[Visitor]:
    """Enrol a passkey for each person, over HTTP; none of these browsers is signed in."""
    visitors = []
    for person in population.people:
        visitor = Visitor(
            population.target,
            await Connection.open(population.target.port),
            {},
            authenticator=SoftwareAuthenticator(),
        )
        if visitor.authenticator is None:
            raise AssertionError
        await open_page(visitor)
        options = await post_json(
            visitor, "/passkeys/enrolment/options", {"enrolment": person.enrolment_token}
        )
        credential = visitor.authenticator.create(options, origin=population.target.issuer)
        body = {"enrolment": person.enrolment_token, "credential": credential, "request": ""}
        await post_json(visitor, "/passkeys/enrolment", body)
        visitors.append(visitor)
    return visitors


async def peer_visitors(port: int, *, client_secret: str, people: int, is_jwt: bool) -> list[Visitor]:
    """Sign as many people in at the peer; `is_jwt` False gives the opaque tokens that its /me and
    introspection alone accept.
    """
    target = Target(port, PEER_PATHS, "bench", client_secret, PEER_RESOURCE)
    visitors = [Visitor(target, await Connection.open(port), {}) for _ in range(people)]
    for visitor in visitors:
        await get_tokens(visitor, resource=PEER_RESOURCE if is_jwt else None)
    return visitors
