"""The person's part of an authorization request: the waiting request, its browser, and their consent."""

import pytest

from idp.clients import registration
from idp.storage import audit_log, connections
from tests.support.answers import assert_error_page, contents
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    location_parameters,
)
from tests.support.pages import open_consent

BROWSER_COOKIE = "__Host-idp-browser"
SESSION_COOKIE = "__Host-idp-session"


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


async def events(node: Node) -> list[tuple[str, str | None]]:
    rows = await node.provider.database.read(audit_log.after, row_id=0, limit=1000)
    return [(row.event, row.account_id) for row in rows if row.event.startswith("consent_")]


async def test_a_consent_withdrawn_before_the_code_is_asked_for_again(
    node: Node, app: App, person: Person
) -> None:
    for prompt in ("consent", ""):
        page = await open_consent(node, app, person, prompt=prompt)
        await page.press("allow")
        await node.provider.database.transact(
            connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
        )

        again = await page.go_on()

        assert again.headers["location"] == f"/consent?request={page.request_id}"
        await page.press("allow")
        assert "code" in location_parameters(await page.go_on())
        await node.provider.database.transact(
            connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
        )


async def test_a_browsers_own_form_arrives_with_a_null_origin_and_is_taken(
    node: Node, app: App, person: Person
) -> None:
    # Fetch §3.2: a form of a page with Referrer-Policy: no-referrer says "Origin: null", to its own site too.
    page = await open_consent(node, app, person)

    answer = await page.press(
        "allow", headers={"Origin": "null", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    )

    assert answer.status_code == 303
    assert "code" in location_parameters(await page.go_on())


async def test_a_form_from_another_site_is_refused_even_with_the_right_token(
    node: Node, app: App, person: Person
) -> None:
    page = await open_consent(node, app, person)
    before = await contents(node)

    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "same-site"},
        {"Origin": ISSUER, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ISSUER + ".evil.example"},
        {"Origin": "http://id.example"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert_error_page(await page.press("allow", headers=headers), status=403)

    assert await contents(node) == before
    assert (await page.press("allow")).status_code == 303


async def test_going_back_after_the_app_is_gone_says_that_it_is_done(
    node: Node, app: App, person: Person
) -> None:
    page = await open_consent(node, app, person)
    await page.press("allow")
    await page.go_on()
    await node.provider.database.transact(registration.delete, client_id=app.id, now=node.clock())
    node.clock.advance(2)

    response = await page.go_on()

    assert response.status_code == 200
    assert "You already finished signing in to the app" in response.text
