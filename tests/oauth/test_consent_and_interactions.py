"""The person's part of an authorization request: the waiting request, its browser, and their consent."""

import httpx
import pytest

from idp.clients import registration
from idp.storage import audit_log, connections
from tests.support.answers import assert_error_page, contents
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    authorization_parameters,
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


async def test_a_page_left_open_over_a_sign_in_decides_for_nobody_and_goes_on(
    node: Node, app: App, person: Person
) -> None:
    page = await open_consent(node, app, person)
    # Signing in gives the browser a new name, as passkeys do.
    browser = node.browser(person.cookies)
    fresh = await browser.get("/authorize", params=authorization_parameters(app))
    before = await contents(node)

    answer = await browser.post("/consent", data=page.form | {"decision": "allow"})

    assert_error_page(answer, status=403)
    assert "out of date" in answer.text
    assert f'href="/authorize?request={page.request_id}"' in answer.text
    assert fresh.status_code == 303
    assert await contents(node) == before


async def test_a_request_is_finished_by_no_browser_but_its_own(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    other = await node.person("grace@example.com")
    others_page = await open_consent(node, app, other)
    before = await contents(node)

    # The other browser's own cookie and token, and this request's id.
    answer = await others_page.browser.post(
        "/consent", data=others_page.form | {"request": page.request_id, "decision": "allow"}
    )
    seen = await others_page.browser.get(f"/consent?request={page.request_id}")
    resumed = await others_page.browser.get(f"/authorize?request={page.request_id}")

    assert_error_page(answer, status=403)
    assert_error_page(seen, status=403)
    assert "Demo App" not in seen.text
    assert_error_page(resumed)
    assert await contents(node) == before
    await page.press("allow")
    assert "code" in location_parameters(await page.go_on())
    assert await events(node) == [("consent_given", person.account_id)]


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


async def test_a_form_that_cannot_be_read_is_a_page_and_changes_nothing(
    node: Node, app: App, person: Person
) -> None:
    page = await open_consent(node, app, person)
    before = await contents(node)
    body = str(httpx.QueryParams(page.form | {"decision": "allow"}))

    for content, content_type, status in (
        (body, "text/plain", 415),
        (body, "multipart/form-data; boundary=x", 415),
        (body + "&x=%ff", "application/x-www-form-urlencoded", 400),
        (body + "&x=%00", "application/x-www-form-urlencoded", 400),
        (body + "&decision=allow", "application/x-www-form-urlencoded", 400),
        (body + "&csrf_token=x", "application/x-www-form-urlencoded", 400),
        (body + "&x=" + "x" * 70_000, "application/x-www-form-urlencoded", 413),
    ):
        response = await page.browser.post(
            "/consent", content=content, headers={"Content-Type": content_type, "Accept": "text/html"}
        )
        assert_error_page(response, status=status)
    for query in ("request=%ff", "request=a&request=b", "request=" + "x" * 40_000):
        assert_error_page(await page.browser.get(f"/consent?{query}"))
    assert await contents(node) == before


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


async def test_a_request_of_an_app_that_is_gone_ends_on_a_page(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    await node.provider.database.transact(registration.disable, client_id=app.id, now=node.clock())
    node.clock.advance(2)

    assert_error_page(await page.go_on())
    assert_error_page(await page.press("allow"), status=403)
    assert await events(node) == []
