"""What an authorization request may say, and what each wrong word is answered with."""

import httpx
import pytest

from tests.support.answers import (
    assert_error_page,
    assert_redirected_error,
)
from tests.support.node import (
    App,
    Node,
    Person,
    authorization_parameters,
    location_parameters,
)
from tests.support.pages import waiting_request

EVIL = "https://evil.example/cb"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def app(node: Node) -> App:
    # Its own: what is right is answered at once, with a code.
    return await node.app(first_party=True)


async def send(node: Node, person: Person, pairs: list[tuple[str, str]] | dict[str, str]) -> httpx.Response:
    """Send exactly these parameters, in this order, from the person's browser."""
    query = str(httpx.QueryParams(pairs))
    return await node.browser(person.cookies).get(f"/authorize?{query}")


async def changed(node: Node, app: App, person: Person, **changes: str) -> httpx.Response:
    """Send the app's right request with something changed; an empty value is sent as such."""
    return await send(node, person, authorization_parameters(app) | changes)


async def assert_still_right(node: Node, app: App, person: Person) -> None:
    assert "code" in location_parameters(await changed(node, app, person))


async def test_a_parameter_in_address_and_body_is_repeated(node: Node, app: App, person: Person) -> None:
    right = authorization_parameters(app)
    for in_address, in_body in (
        ({"redirect_uri": EVIL}, right),
        (right, {"redirect_uri": EVIL}),
        (right, right),
        ({"client_id": app.id}, right),
    ):
        browser = node.browser(person.cookies)
        first = await browser.post("/authorize", params=in_address, data=in_body)
        assert first.headers["location"].startswith("/authorize?")

        assert_error_page(await browser.get(first.headers["location"]))


async def test_a_flood_of_parameters_is_an_error_page(node: Node, app: App, person: Person) -> None:
    flood = [(f"p{n}", "x") for n in range(2000)]
    assert_error_page(await send(node, person, list(authorization_parameters(app).items()) + flood))
    assert_error_page(await changed(node, app, person, state="x" * 60_000))


async def test_the_max_age_that_a_client_registered_holds_where_it_sends_none(
    node: Node, person: Person
) -> None:
    app = await node.app(first_party=True, default_max_age=60)
    node.clock.advance(60)

    assert_redirected_error(await changed(node, app, person, prompt="none"), "login_required")
    assert "code" in location_parameters(await changed(node, app, person, prompt="none", max_age="3600"))


async def test_somebody_else_signing_in_than_the_hint_is_about_is_told_to_the_client(
    node: Node, app: App, person: Person
) -> None:
    hint = (await node.tokens(app, person))["id_token"]
    other = await node.person("grace@example.com")
    node.clock.advance(1)

    waiting = await node.authorize(app, other, id_token_hint=hint)
    assert waiting.headers["location"].startswith("/login?request=")
    await node.sign_in(other)
    answer = await node.browser(other.cookies).get(f"/authorize?request={waiting_request(waiting)}")

    assert_redirected_error(answer, "login_required")


async def test_the_hinted_person_may_sign_in_where_another_was_signed_in(
    node: Node, app: App, person: Person
) -> None:
    hint = (await node.tokens(app, person))["id_token"]
    other = await node.person("grace@example.com")
    node.clock.advance(1)
    waiting = await node.authorize(app, other, id_token_hint=hint)

    await node.sign_in(person)
    cookies = other.cookies | {"__Host-idp-session": person.cookies["__Host-idp-session"]}
    answer = await node.browser(cookies).get(f"/authorize?request={waiting_request(waiting)}")

    assert "code" in location_parameters(answer)
