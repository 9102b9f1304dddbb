"""The person's part of an authorization request: the waiting request, its browser, and their consent."""

from urllib.parse import urlencode

import httpx
import pytest

from idp.clients import registration
from idp.storage import accounts, audit_log, connections
from tests.support.answers import assert_error_page, assert_redirected_error, contents
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    authorization_parameters,
    between,
    location_parameters,
)
from tests.support.pages import open_consent, waiting_request

BROWSER_COOKIE = "__Host-idp-browser"
SESSION_COOKIE = "__Host-idp-session"


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


async def events(node: Node) -> list[tuple[str, str | None]]:
    rows = await node.provider.database.read(audit_log.after, row_id=0, limit=1000)
    return [(row.event, row.account_id) for row in rows if row.event.startswith("consent_")]


# Consent.


async def test_the_consent_page_says_who_asks_and_for_what(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person, scope="openid email")

    text = page.response.text
    assert "<h1" in text
    assert "Allow Demo App to use your account?" in text
    assert "app.example" in text
    assert "See your e-mail address" in text
    assert "See your name" not in text
    assert "Ada Lovelace" in text
    assert "ada@example.com" in text
    assert ">Allow</button>" in text
    assert ">Deny</button>" in text


async def test_allowing_gives_the_app_a_code_and_is_remembered(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)

    answer = await page.press("allow")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/authorize?request={page.request_id}"
    assert "code" in location_parameters(await page.go_on())
    assert await events(node) == [("consent_given", person.account_id)]
    assert "code" in location_parameters(await node.authorize(app, person, prompt="none"))


async def test_denying_tells_the_app_and_nothing_is_remembered(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)

    answer = await page.press("deny")

    assert answer.status_code == 303
    assert_redirected_error(await page.go_on(), "access_denied")
    assert await events(node) == [("consent_refused", person.account_id)]
    assert_redirected_error(await node.authorize(app, person, prompt="none"), "consent_required")


async def test_consent_to_more_keeps_what_was_allowed_before(node: Node, app: App, person: Person) -> None:
    await node.allow(app, person, scope="openid profile")
    await node.allow(app, person, scope="openid email")

    both = await node.authorize(app, person, scope="openid profile email", prompt="none")

    assert "code" in location_parameters(both)


async def test_neither_button_decides_nothing(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    before = await contents(node)

    for decision in ("", "ALLOW", "allow deny", "yes"):
        answer = await page.press(decision)
        assert answer.headers["location"] == f"/authorize?request={page.request_id}"
        assert (await page.go_on()).headers["location"] == f"/consent?request={page.request_id}"

    assert await contents(node) == before


async def test_a_withdrawn_consent_is_asked_for_again(node: Node, app: App, person: Person) -> None:
    await node.allow(app, person)
    await node.provider.database.transact(
        connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
    )

    again = await node.authorize(app, person)

    assert again.headers["location"].startswith("/consent?request=")


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


async def test_the_consent_of_one_person_is_not_anothers(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person, prompt="consent")
    await page.press("allow")

    # The same browser, and by now somebody else is signed in.
    other = await node.person("grace@example.com")
    page.browser.cookies.set(SESSION_COOKIE, other.cookies[SESSION_COOKIE], domain="id.example")
    again = await page.go_on()

    assert again.headers["location"] == f"/consent?request={page.request_id}"
    silent = await node.authorize(app, other, prompt="none")
    assert_redirected_error(silent, "consent_required")


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


async def test_a_person_signed_out_meanwhile_signs_in_again(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    page.browser.cookies.delete(SESSION_COOKIE)
    before = await contents(node)

    answer = await page.press("allow")

    assert answer.headers["location"] == f"/authorize?request={page.request_id}"
    assert (await page.go_on()).headers["location"] == f"/login?request={page.request_id}"
    assert (await page.browser.get(f"/consent?request={page.request_id}")).status_code == 303
    assert await contents(node) == before


async def test_a_person_disabled_meanwhile_gets_no_code(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    await page.press("allow")
    await node.provider.database.transact(
        accounts.set_status, account_id=person.account_id, status="disabled", now=node.clock()
    )

    assert (await page.go_on()).headers["location"] == f"/login?request={page.request_id}"
    assert_redirected_error(await node.authorize(app, person, prompt="none"), "login_required")


# Forgery.


async def test_a_form_without_the_browsers_own_token_is_refused(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    other = await node.person("grace@example.com")
    others_page = await open_consent(node, app, other)
    before = await contents(node)

    for token in ("", "x", others_page.form["csrf_token"], page.form["csrf_token"][:-1], "\u00fc" * 43):
        form = page.form | {"csrf_token": token, "decision": "allow"}
        assert_error_page(await page.browser.post("/consent", data=form), status=403)
    form = {"request": page.request_id, "decision": "allow"}
    assert_error_page(await page.browser.post("/consent", data=form), status=403)

    assert await contents(node) == before
    assert (await page.press("allow")).status_code == 303
    assert "code" in location_parameters(await page.go_on())


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


async def test_a_sign_in_in_another_browser_gives_the_first_one_nothing(node: Node, app: App) -> None:
    first = node.browser()
    waiting = await first.get("/authorize", params=authorization_parameters(app))
    address = f"/authorize?request={waiting_request(waiting)}"
    node.clock.advance(1)

    # The victim follows the copied address, and is signed in there.
    victim = await node.person()
    assert_error_page(await node.browser(victim.cookies).get(address))

    assert (await first.get(address)).headers["location"] == f"/login?request={waiting_request(waiting)}"


async def test_a_planted_session_cookie_is_nobodys(node: Node, app: App) -> None:
    for planted in ("A" * 43, "x", "", "A" * 9000, "\u00fc", '"quoted"', "A" * 42 + "B"):
        browser = node.browser()
        response = await browser.get(
            "/authorize",
            params=authorization_parameters(app),
            headers=[(b"Cookie", f"{SESSION_COOKIE}={planted}".encode("latin-1"))],
        )

        assert response.headers["location"].startswith("/login?request=")


async def test_a_broken_or_doubled_cookie_never_fails_and_never_signs_in(
    node: Node, app: App, person: Person
) -> None:
    token = person.cookies[SESSION_COOKIE]
    flipped = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    for cookies in (
        f"{SESSION_COOKIE}={token[:-1]}",
        f"{SESSION_COOKIE}={token}A",
        f"{SESSION_COOKIE}={flipped}",
        f"{SESSION_COOKIE}={token}; {SESSION_COOKIE}=x",
        f"{SESSION_COOKIE}=x{token}",
        f"{BROWSER_COOKIE}={token}",
        f"idp-session={token}",
        f"{SESSION_COOKIE}={token}=",
        "=;=;;;" + "\x00\x7f",
        ";" * 8000,
    ):
        response = await node.http.get(
            "/authorize",
            params=authorization_parameters(app),
            headers=[(b"Cookie", cookies.encode("latin-1"))],
        )
        assert response.headers["location"].startswith("/login?request="), cookies[:80]
    assert "/consent" in (await node.authorize(app, person)).headers["location"]


async def test_the_browsers_cookie_is_kept_from_scripts_sites_and_plain_http(node: Node, app: App) -> None:
    response = await node.http.get("/authorize", params=authorization_parameters(app))

    name, _, rest = response.headers["set-cookie"].partition("=")
    value, *attributes = [part.strip() for part in rest.split(";")]
    assert name == BROWSER_COOKIE
    assert len(value) == 43
    assert {attribute.lower() for attribute in attributes} == {
        "httponly",
        "path=/",
        "samesite=lax",
        "secure",
    }


async def test_a_malformed_cookie_of_the_browser_gets_a_new_name(node: Node, app: App) -> None:
    for planted in ("x", "A" * 44, "A" * 42 + "B", "\u00fc" * 43):
        response = await node.browser().get(
            "/authorize",
            params=authorization_parameters(app),
            headers=[(b"Cookie", f"{BROWSER_COOKIE}={planted}".encode("latin-1"))],
        )
        new_name = between(response.headers["set-cookie"], f"{BROWSER_COOKIE}=", ";")
        assert len(new_name) == 43
        assert new_name != planted


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


# Back, refresh, second tab, waiting too long, bookmarks: never a dead end.


async def test_refreshing_the_consent_page_shows_it_again(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)

    again = await page.browser.get(f"/consent?request={page.request_id}")

    assert again.status_code == 200
    assert between(again.text, 'name="csrf_token" value="', '"') == page.form["csrf_token"]


async def test_going_back_after_the_code_says_that_it_is_done(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person)
    await page.press("allow")
    await page.go_on()
    before = await contents(node)

    for response in (await page.go_on(), await page.go_on()):
        assert response.status_code == 200
        assert "You already finished signing in to Demo App" in response.text
        assert "code=" not in response.text
        assert 'href="/account"' in response.text
    # The consent page, still in the history, leads there too.
    assert (await page.press("deny")).headers["location"] == f"/authorize?request={page.request_id}"
    assert await contents(node) == before


async def test_going_back_to_the_consent_page_after_the_code_leads_to_the_word_that_it_is_done(
    node: Node, app: App, person: Person
) -> None:
    page = await open_consent(node, app, person)
    await page.press("allow")
    await page.go_on()

    again = await page.browser.get(f"/consent?request={page.request_id}")

    assert again.status_code == 303
    assert again.headers["location"] == f"/authorize?request={page.request_id}"
    assert "already" in (await page.go_on()).text


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


async def test_a_second_tab_is_a_request_of_its_own(node: Node, app: App, person: Person) -> None:
    first = await open_consent(node, app, person, state="first")
    person.cookies |= dict(first.browser.cookies)
    second = await open_consent(node, app, person, state="second")

    await second.press("allow")
    await first.press("allow")

    assert location_parameters(await first.go_on())["state"] == "first"
    assert location_parameters(await second.go_on())["state"] == "second"


async def test_a_page_that_waited_too_long_goes_on_with_the_same_request(node: Node, person: Person) -> None:
    app = await node.app(
        audiences=["https://a.example", "https://b.example"], default_audience="https://a.example"
    )
    browser = node.browser(person.cookies)
    pairs = [
        *authorization_parameters(app).items(),
        ("resource", "https://b.example"),
        ("resource", "https://a.example"),
    ]
    waiting = await browser.get("/authorize?" + urlencode(pairs))
    node.clock.advance(3600)

    page = await browser.get(f"/authorize?request={waiting_request(waiting)}")

    assert page.status_code == 200
    assert "This page waited too long" in page.text
    address = between(page.text, 'class="button primary" href="', '"').replace("&amp;", "&")
    again = await browser.get(address)
    assert again.headers["location"].startswith("/consent?request=")
    assert again.headers["location"] != waiting.headers["location"]


async def test_an_answer_to_a_page_that_waited_too_long_is_not_lost_in_a_dead_end(
    node: Node, app: App, person: Person
) -> None:
    page = await open_consent(node, app, person)
    node.clock.advance(3600)
    before = await contents(node)

    answer = await page.press("allow")

    assert answer.headers["location"] == f"/authorize?request={page.request_id}"
    assert "This page waited too long" in (await page.go_on()).text
    assert (await contents(node))["connections"] == before["connections"]


async def test_a_bookmark_of_a_forgotten_request_says_what_to_do(node: Node, person: Person) -> None:
    for request in ("A" * 22, "x", "x" * 22, "../../etc", "A" * 5000, "", "%00", "a&request=b"):
        browser = node.browser(person.cookies)

        response = await browser.get(f"/authorize?request={request}", headers={"Accept": "text/html"})

        assert_error_page(response)


async def test_the_next_step_of_an_unknown_request_leads_somewhere(node: Node, person: Person) -> None:
    page = await node.browser(person.cookies).get("/authorize?request=" + "A" * 22)

    assert "Go back to the app you came from" in page.text
    assert 'href="/account"' in page.text
