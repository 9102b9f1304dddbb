from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from idp.accounts import administration
from idp.accounts import person as people
from idp.storage.database import Transaction
from tests.conformance.relying_party import RelyingParty
from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, Node, running_node
from tests.support.person_at_browser import PersonAtBrowser

EMAIL = "ada@example.com"
# What an operator says about a person: idp user update.
PROFILE = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "middle_name": "Augusta",
    "nickname": "Countess",
    "preferred_username": "ada",
    "profile": "https://ada.example/",
    "picture": "https://ada.example/ada.jpg",
    "website": "https://blog.ada.example/",
    "gender": "female",
    "birthdate": "1815-12-10",
    "zoneinfo": "Europe/London",
    "locale": "en-GB",
    "phone_number": "+442071838750",
    "address.locality": "London",
    "address.country": "GB",
}
# The suite's two clients; the second one's address has a query.
CALLBACK = "https://suite.example/test/a/idp/callback"
SECOND_CALLBACK = "https://suite.example/test/a/idp/callback?dummy1=lorem&dummy2=ipsum"
SCOPE = "openid profile email address phone offline_access"


@dataclass
class Suite:
    """The provider under test, spoken to over HTTP alone, and whoever visits it."""

    node: Node
    http: httpx.AsyncClient
    person: PersonAtBrowser
    response_mode: str | None

    async def client(
        self, *, redirect_uri: str = CALLBACK, auth_method: str = "client_secret_basic"
    ) -> RelyingParty:
        """Register a client, as an operator does: idp client create."""
        app = await self.node.app(
            redirect_uris=[redirect_uri], scope=SCOPE, token_endpoint_auth_method=auth_method
        )
        return RelyingParty(
            http=self.http,
            person=self.person,
            clock=self.node.clock,
            issuer=ISSUER,
            client_id=app.id,
            client_secret=app.secret or "",
            redirect_uri=redirect_uri,
            response_mode=self.response_mode,
            auth_method=auth_method,
        )


Plan = Callable[[str | None], Awaitable[Suite]]


@pytest.fixture
async def plan(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Plan]:
    """Begin a plan: the provider runs, and a person has an account there."""
    generous = {"sign_in": "100000 per minute", "ceremony": "100000 per minute"}
    async with running_node(sqlite_url, clock, tmp_path, rate_limit=generous) as node:
        transport = httpx.ASGITransport(node.provider.asgi, raise_app_exceptions=True)
        person = PersonAtBrowser(transport, issuer=ISSUER)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:

            async def begin(response_mode: str | None) -> Suite:
                await person.sign_up(email=EMAIL, name="Ada Lovelace")
                await node.provider.database.transact(_describe_person, node=node)
                await person.take_another_browser()
                return Suite(node, http, person, response_mode)

            yield begin
        await person.close()


async def _describe_person(tx: Transaction, *, node: Node) -> None:
    account = await administration.find_account(tx, named=EMAIL)
    assert account is not None
    await people.change(tx, account_id=account.id, name=None, claims=PROFILE, now=node.clock())


@pytest.fixture(params=[None, "form_post"], ids=["basic", "form_post_basic"])
async def suite(request: pytest.FixtureRequest, plan: Plan) -> Suite:
    """The plans Basic OP and Form Post Basic: the same modules, but for the way that answers come back."""
    return await plan(request.param)


@pytest.fixture
async def rp(suite: Suite) -> RelyingParty:
    return await suite.client()
