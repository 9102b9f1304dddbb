"""What an authorization request may say, and what each wrong word is answered with."""

import pytest

from tests.support.answers import assert_redirected_error
from tests.support.node import App, Node, Person, location_parameters
from tests.support.pages import waiting_request


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


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
