"""Signing out as an app asks for it: at once for a valid hint, else after the person said so."""

from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from idp.clients import registration
from tests.support.answers import assert_error_page, assert_redirected_error, contents
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    between,
    claims_of,
    header_of,
    running_node,
)

BACK = "https://app.example/signed-out"
SESSION_COOKIE = "__Host-idp-session"


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app(post_logout_redirect_uris=[BACK, f"{BACK}?a=1"])


@pytest.fixture
async def hint(node: Node, app: App, person: Person) -> str:
    return str((await node.tokens(app, person))["id_token"])


async def sign_out(node: Node, person: Person, **parameters: str) -> httpx.Response:
    """Send the person's browser to sign out, and follow it as far as it stays with us."""
    browser = node.browser(person.cookies)
    response = await browser.get("/logout", params=parameters)
    for _ in range(3):
        if not response.headers.get("location", "").startswith("/"):
            break
        response = await browser.get(response.headers["location"])
    return response


async def assert_signed_in(node: Node, app: App, person: Person) -> None:
    answer = await node.authorize(app, person, prompt="none")
    assert "code=" in answer.headers["location"], answer.headers["location"]


async def assert_signed_out(node: Node, app: App, person: Person) -> None:
    assert_redirected_error(await node.authorize(app, person, prompt="none"), "login_required")


def assert_asks(response: httpx.Response) -> None:
    assert response.status_code == 200
    assert "Sign out of idp?" in response.text
    assert "location" not in response.headers
    assert "set-cookie" not in response.headers or "Max-Age=0" not in response.headers["set-cookie"]


# At once.


async def test_a_valid_hint_signs_out_and_leads_back_with_the_state_alone(
    node: Node, app: App, person: Person, hint: str
) -> None:
    state = "s 1+&\u00fc"

    response = await sign_out(
        node, person, id_token_hint=hint, post_logout_redirect_uri=BACK, state=state, client_id=app.id
    )

    assert response.status_code == 303
    assert response.headers["location"] == f"{BACK}?{urlencode({'state': state})}"
    await assert_signed_out(node, app, person)


async def test_without_state_the_app_gets_none(node: Node, app: App, person: Person, hint: str) -> None:
    response = await sign_out(node, person, id_token_hint=hint, post_logout_redirect_uri=BACK)

    assert response.headers["location"] == BACK
    await assert_signed_out(node, app, person)


async def test_the_query_of_a_registered_address_is_kept(
    node: Node, app: App, person: Person, hint: str
) -> None:
    response = await sign_out(
        node, person, id_token_hint=hint, post_logout_redirect_uri=f"{BACK}?a=1", state="x"
    )

    assert response.headers["location"] == f"{BACK}?a=1&state=x"
    assert app.id


async def test_without_an_address_the_person_reads_that_they_are_signed_out(
    node: Node, app: App, person: Person, hint: str
) -> None:
    for parameters in ({"id_token_hint": hint}, {"id_token_hint": hint, "state": "x"}):
        response = await sign_out(node, person, **parameters)

        assert response.status_code == 200
        assert "You are signed out" in response.text
    await assert_signed_out(node, app, person)


async def test_an_expired_hint_will_do_for_its_own_session(
    node: Node, app: App, person: Person, hint: str
) -> None:
    node.clock.advance(20 * 3600)

    response = await sign_out(node, person, id_token_hint=hint, post_logout_redirect_uri=BACK)

    assert response.headers["location"] == BACK
    await assert_signed_out(node, app, person)


async def test_the_cookie_is_taken_back(node: Node, person: Person, hint: str) -> None:
    response = await node.browser(person.cookies).get("/logout", params={"id_token_hint": hint})

    (cookie,) = [
        value for value in response.headers.get_list("set-cookie") if value.startswith(SESSION_COOKIE)
    ]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert cookie.split(";", maxsplit=1)[0] in {f'{SESSION_COOKIE}=""', f"{SESSION_COOKIE}="}
    assert {"max-age=0", "secure", "httponly", "path=/", "samesite=lax"} <= attributes


async def test_signing_out_is_the_servers_and_holds_on_every_node(
    node: Node, app: App, person: Person, hint: str, tmp_path: Path
) -> None:
    async with running_node(node.provider.settings.database_url, node.clock, tmp_path) as second:
        await assert_signed_in(second, app, person)
        cookies = dict(person.cookies)

        await sign_out(node, person, id_token_hint=hint)

        # The old cookie is nobody's, whichever node sees it.
        person.cookies = cookies
        await assert_signed_out(second, app, person)
        await assert_signed_out(node, app, person)


async def test_what_lives_only_as_long_as_the_session_ends_with_it(
    node: Node, app: App, person: Person, hint: str
) -> None:
    short = await node.tokens(app, person, scope="openid")
    retried = await node.tokens(app, person, scope="openid email")
    await node.refresh(app, retried["refresh_token"])
    code = await node.code(app, person, scope="openid")
    lasting = await node.tokens(app, person, scope="openid offline_access")

    await sign_out(node, person, id_token_hint=hint)

    for tokens in (short, retried):
        # Not even a retry within its window brings it back.
        assert (await node.refresh(app, tokens["refresh_token"])).json()["error"] == "invalid_grant"
        assert (await node.userinfo(tokens["access_token"])).status_code == 401
    assert (await node.redeem(app, code)).json()["error"] == "invalid_grant"
    # OIDC Core §11: the person allowed this for when they are away.
    assert (await node.refresh(app, lasting["refresh_token"])).status_code == 200


# After the person said so.


async def test_nobody_else_can_sign_a_person_out(node: Node, app: App, person: Person, hint: str) -> None:
    other = await node.person("grace@example.com")
    others_hint = (await node.tokens(app, other))["id_token"]
    header, payload, signature = hint.split(".")
    access_token = (await node.tokens(app, person))["access_token"]
    before = await contents(node)

    for parameters in (
        {},
        {"state": "x"},
        {"client_id": app.id},
        {"post_logout_redirect_uri": BACK},
        {"post_logout_redirect_uri": BACK, "client_id": app.id},
        {"id_token_hint": others_hint, "post_logout_redirect_uri": BACK},
        {"id_token_hint": f"eyJhbGciOiJub25lIn0.{payload}.", "post_logout_redirect_uri": BACK},
        {"id_token_hint": f"{header}.{payload}.{signature[:-4]}AAAA", "post_logout_redirect_uri": BACK},
        {"id_token_hint": access_token, "post_logout_redirect_uri": BACK},
        {"id_token_hint": "x" * 20_000},
        {"id_token_hint": hint, "client_id": "another-client"},
    ):
        assert_asks(await sign_out(node, person, **parameters))

    assert await contents(node) == before
    await assert_signed_in(node, app, person)


async def test_a_hint_of_an_earlier_session_asks(node: Node, app: App, person: Person, hint: str) -> None:
    await node.sign_in(person)

    assert_asks(await sign_out(node, person, id_token_hint=hint, post_logout_redirect_uri=BACK))

    await assert_signed_in(node, app, person)


async def test_a_page_or_image_of_another_site_signs_nobody_out(node: Node, app: App, person: Person) -> None:
    await node.allow(app, person)
    browser = node.browser(person.cookies)
    cross = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}

    assert_asks(await browser.get("/logout", headers=cross))
    posted = await browser.post("/logout", data={"state": "x"}, headers=cross)
    assert posted.status_code == 303
    assert posted.headers["location"].startswith("/logout?")
    assert_asks(await browser.get(posted.headers["location"]))
    assert_error_page(await browser.post("/logout/confirm", data={"x": "y"}, headers=cross), status=403)
    assert_error_page(await browser.post("/logout/confirm", data={"csrf_token": "x"}), status=403)
    assert (await browser.get("/logout/confirm")).status_code == 405

    await assert_signed_in(node, app, person)


async def confirmed(node: Node, person: Person, **parameters: str) -> httpx.Response:
    """Open the question, press "Sign out", and follow the browser as far as it stays with us."""
    browser = node.browser(person.cookies)
    page = await browser.get("/logout", params=parameters)
    assert_asks(page)
    form = {
        part.split('"', 1)[0]: between(part, 'value="', '"')
        for part in page.text.split('<input type="hidden" name="')[1:]
    }
    response = await browser.post("/logout/confirm", data=form)
    for _ in range(3):
        if not response.headers.get("location", "").startswith("/"):
            break
        response = await browser.get(response.headers["location"])
    return response


async def test_pressing_the_button_signs_out(node: Node, app: App, person: Person) -> None:
    response = await confirmed(node, person)

    assert response.status_code == 200
    assert "You are signed out" in response.text
    await assert_signed_out(node, app, person)


async def test_without_a_valid_hint_the_way_back_is_a_link_and_never_a_redirect(
    node: Node, app: App, person: Person
) -> None:
    response = await confirmed(node, person, client_id=app.id, post_logout_redirect_uri=BACK, state="x")

    assert response.status_code == 200
    assert f'href="{BACK}"' in response.text
    assert "Back to Demo App" in response.text
    await assert_signed_out(node, app, person)


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        BACK + "/x",
        BACK + "?x=1",
        BACK + "#x",
        BACK.upper(),
        "https://app.example/cb",
        "javascript:alert(1)",
        "",
    ],
)
async def test_no_address_that_is_not_registered_is_led_to(
    node: Node, app: App, person: Person, hint: str, address: str
) -> None:
    response = await sign_out(node, person, id_token_hint=hint, post_logout_redirect_uri=address, state="x")

    assert response.status_code == 200
    assert "evil" not in response.text
    assert "javascript" not in response.text
    await assert_signed_out(node, app, person)


async def test_nobody_signed_in_is_led_back_for_a_valid_hint_alone(
    node: Node, app: App, person: Person, hint: str
) -> None:
    nobody = Person(account_id="", email="")
    assert person.account_id

    with_hint = await sign_out(node, nobody, id_token_hint=hint, post_logout_redirect_uri=BACK)
    without = await sign_out(node, nobody, client_id=app.id, post_logout_redirect_uri=BACK)

    assert with_hint.headers["location"] == BACK
    assert without.status_code == 200
    assert f'href="{BACK}"' in without.text


async def test_an_app_that_is_switched_off_gets_nobody_back(
    node: Node, app: App, person: Person, hint: str
) -> None:
    await node.provider.database.transact(registration.disable, client_id=app.id, now=node.clock())
    node.clock.advance(2)

    response = await sign_out(node, person, id_token_hint=hint, post_logout_redirect_uri=BACK)

    assert response.status_code == 200
    assert BACK not in response.text


async def test_a_request_that_cannot_be_read_says_so_and_changes_nothing(
    node: Node, app: App, person: Person, hint: str
) -> None:
    browser = node.browser(person.cookies)
    before = await contents(node)
    right = urlencode({"id_token_hint": hint, "post_logout_redirect_uri": BACK})

    for query in (
        f"{right}&id_token_hint=x",
        f"{right}&post_logout_redirect_uri={BACK}",
        f"{right}&state=a&state=b",
        f"{right}&state=%ff",
        f"{right}&state=%00",
        f"{right}&state=" + "x" * 9000,
        f"{right}&x=" + "x" * 40_000,
    ):
        assert_error_page(await browser.get(f"/logout?{query}"))
    for content_type in ("application/x-www-form-urlencoded", "text/plain"):
        for path in ("/logout", "/logout/confirm"):
            posted = await browser.post(path, content=b"x=%ff", headers={"Content-Type": content_type})
            assert posted.status_code in {400, 415}
            assert "You are still signed in" in posted.text

    assert await contents(node) == before
    await assert_signed_in(node, app, person)


async def test_a_request_by_post_comes_again_as_a_get(
    node: Node, app: App, person: Person, hint: str
) -> None:
    browser = node.browser(person.cookies)

    first = await browser.post(
        "/logout", data={"id_token_hint": hint, "post_logout_redirect_uri": BACK, "state": "x"}
    )
    assert first.status_code == 303
    second = await browser.get(first.headers["location"])

    assert second.headers["location"] == f"{BACK}?state=x"
    await assert_signed_out(node, app, person)


async def test_the_id_token_names_the_session(node: Node, person: Person, hint: str) -> None:
    claims = claims_of(hint)

    assert claims["sid"] == person.session_id
    assert claims["iss"] == ISSUER
    assert header_of(hint)["typ"] == "JWT"
    assert node.provider.settings.issuer == ISSUER


# How long a session lasts.


async def test_a_session_ends_of_idleness_and_of_age_whatever_the_cookie_says(
    node: Node, app: App, person: Person
) -> None:
    await node.tokens(app, person)
    for _ in range(7):
        node.clock.advance(86_400 - 60)
        await assert_signed_in(node, app, person)
    # Seen a moment ago, and a week old.
    node.clock.advance(7 * 60)
    await assert_signed_out(node, app, person)

    await node.sign_in(person)
    await assert_signed_in(node, app, person)
    node.clock.advance(86_400 + 60)
    await assert_signed_out(node, app, person)


async def test_no_prefetch_or_frame_signs_anyone_in(node: Node, app: App) -> None:
    query = {"client_id": app.id, "redirect_uri": app.redirect_uri}
    for headers in (
        {"Sec-Purpose": "prefetch"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ):
        for path in ("/authorize", "/logout", "/consent", "/jwks", "/userinfo", "/healthz"):
            for verb in ("GET", "HEAD"):
                response = await node.http.request(verb, path, params=query, headers=headers)
                for cookie in response.headers.get_list("set-cookie"):
                    assert not cookie.startswith(f"{SESSION_COOKIE}=") or "Max-Age=0" in cookie
