"""What stands before every ceremony: who may ask, how, and how often."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from idp import resources
from idp.clients import metadata as client_metadata
from idp.clients import registration as client_registration
from idp.settings import Passkeys
from idp.storage import interactions
from idp.storage.database import Database
from idp.storage.interactions import Interaction
from idp.web.browser import CSRF_HEADER
from tests.passkeys.site import (
    BROWSER_COOKIE,
    ISSUER,
    SESSION_COOKIE,
    PasskeySite,
    VisitingBrowser,
    assert_refused,
)
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import SoftwareAuthenticator

REQUEST_ID = "A" * 21 + "Q"
CEREMONY_PATHS = [
    "/passkeys/authentication/options",
    "/passkeys/authentication",
    "/passkeys/enrolment/options",
    "/passkeys/enrolment",
    "/passkeys/addition/options",
    "/passkeys/addition",
]
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize(
    "headers",
    [
        {CSRF_HEADER: ""},
        {CSRF_HEADER: "A" * 43},
        {CSRF_HEADER: "ü"},
        {"Origin": "https://evil.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_request_that_is_not_our_pages_own_is_refused(
    site: PasskeySite, headers: dict[str, str]
) -> None:
    person = await site.person()
    before = await site.digest()

    for path in CEREMONY_PATHS:
        answer = await person.browser.post(path, {}, headers=headers)
        assert_refused(answer, status=403, code="forged_request")

    assert await site.digest() == before


async def test_another_browsers_token_is_refused(site: PasskeySite, browser: VisitingBrowser) -> None:
    foreign = site.browser().csrf_token

    answer = await browser.post(CEREMONY_PATHS[0], {}, headers={CSRF_HEADER: foreign})

    assert_refused(answer, status=403, code="forged_request")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_json_of_another_media_type_is_not_read(browser: VisitingBrowser, media_type: str) -> None:
    for path in CEREMONY_PATHS:
        answer = await browser.post(path, {}, headers={"Content-Type": media_type})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"[" * 60_000, b'{"a":' + b"9" * 60_000 + b"}", b"\xff"]
)
async def test_a_body_that_is_no_json_object_is_refused(browser: VisitingBrowser, body: bytes) -> None:
    headers = {CSRF_HEADER: browser.csrf_token, "Content-Type": "application/json"}

    for path in CEREMONY_PATHS:
        answer = await browser.client.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_body_over_the_limit_is_refused(browser: VisitingBrowser) -> None:
    answer = await browser.post("/passkeys/authentication", {"credential": "x" * 70_000})

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/passkeys/enrolment/options", "/passkeys/enrolment"])
@pytest.mark.parametrize("token", [None, 7, ["a"]])
async def test_an_enrolment_that_is_no_text_is_refused(
    browser: VisitingBrowser, path: str, token: object
) -> None:
    answer = await browser.post(path, {"enrolment": token})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_ceremonies_are_not_begun_by_a_link(browser: VisitingBrowser) -> None:
    for path in CEREMONY_PATHS:
        answer = await browser.client.get(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_too_many_ceremonies_are_put_off(database: Database, clock: FrozenClock) -> None:
    site = PasskeySite(database, clock, rate="3 per minute")
    browser = site.browser()

    answers = [await browser.post(CEREMONY_PATHS[0], {}) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "retry-after" in answers[-1].headers
    await site.close()


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "A" * 8000, '"', "ü"])
async def test_a_broken_session_cookie_is_nobody(site: PasskeySite, cookie: str) -> None:
    person = await site.person()
    token = person.browser.client.cookies[BROWSER_COOKIE]
    person.browser.client.cookies.clear()

    answer = await person.browser.client.post(
        "/passkeys/addition/options",
        json={},
        headers=httpx.Headers(
            {
                CSRF_HEADER: _csrf_token(site, token),
                "Cookie": f"{BROWSER_COOKIE}={token}; {SESSION_COOKIE}={cookie}",
            },
            encoding="utf-8",
        ),
    )

    assert_refused(answer, status=401, code="signed_out")


def _csrf_token(site: PasskeySite, token: str) -> str:
    browser = site.browser()
    browser.put_cookie(BROWSER_COOKIE, token)
    return browser.csrf_token


async def test_related_origins_are_those_configured_whatever_the_host_header(
    database: Database, clock: FrozenClock
) -> None:
    site = PasskeySite(database, clock, passkeys=Passkeys(origins=("https://login.example.com",)))

    answer = await site.browser().client.get("/.well-known/webauthn", headers={"Host": "evil.org"})

    assert answer.json() == {"origins": [ISSUER, "https://login.example.com"]}
    assert answer.headers["content-type"] == "application/json"
    await site.close()


async def test_a_configured_origin_may_hold_ceremonies(database: Database, clock: FrozenClock) -> None:
    site = PasskeySite(database, clock, passkeys=Passkeys(origins=("https://login.example.com",)))
    person = await site.person()

    right = await site.browser().sign_in(person.authenticator, origin="https://login.example.com")
    wrong = await site.browser().sign_in(person.authenticator, origin="https://logout.example.com")

    assert right.status_code == 200
    assert_refused(wrong)
    await site.close()


async def test_a_parent_domain_as_relying_party_id_is_checked_as_such(
    database: Database, clock: FrozenClock
) -> None:
    site = PasskeySite(database, clock, passkeys=Passkeys(rp_id="example.com"))
    person = await site.person()

    assert person.passkey.rp_id == "example.com"
    assert (await site.browser().sign_in(person.authenticator)).status_code == 200
    assert_refused(await site.browser().sign_in(person.authenticator, rp_id="id.example.com"))
    await site.close()


async def test_the_sign_in_page_asks_for_a_passkey(browser: VisitingBrowser) -> None:
    answer = await browser.client.get("/login", headers=HTML)

    assert answer.status_code == 200
    assert "Sign in to Example ID" in answer.text
    assert 'autocomplete="username webauthn"' in answer.text
    assert f'data-csrf="{browser.csrf_token}"' in answer.text
    assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


async def test_who_is_signed_in_goes_on_to_the_account(site: PasskeySite) -> None:
    person = await site.person()

    answer = await person.browser.client.get("/login", headers=HTML)

    assert (answer.status_code, answer.headers["location"]) == (303, "/account")


async def test_with_a_request_the_page_shows_even_to_who_is_signed_in(site: PasskeySite) -> None:
    person = await site.person()

    answer = await person.browser.client.get("/login", params={"request": REQUEST_ID}, headers=HTML)

    assert answer.status_code == 200
    assert f'data-request="{REQUEST_ID}"' in answer.text


@pytest.mark.parametrize(
    ("login_hint", "shown"),
    [("ada@example.com", True), ("<script>@x", True), ("no address", False), ("a" * 400 + "@b", False)],
)
async def test_the_page_names_the_application_and_whom_it_expects(
    site: PasskeySite, browser: VisitingBrowser, clock: FrozenClock, login_hint: str, *, shown: bool
) -> None:
    registered = await site.database.transact(
        client_registration.register,
        metadata=client_metadata.parse_metadata(
            {"client_name": "Ada's <App>", "redirect_uris": ["https://app.example.com/cb"]}
        ),
        is_first_party=False,
        now=clock(),
    )
    await site.database.transact(
        interactions.insert,
        Interaction(
            id=REQUEST_ID,
            browser_sha256=browser.sha256,
            client_id=registered.client.id,
            parameters={"login_hint": login_hint},
            created_at=clock(),
            expires_at=clock() + timedelta(minutes=10),
        ),
    )

    own = await browser.client.get("/login", params={"request": REQUEST_ID}, headers=HTML)
    foreign = await site.browser().client.get("/login", params={"request": REQUEST_ID}, headers=HTML)

    assert "Sign in to Ada&#39;s &lt;App&gt;" in own.text
    assert ('value=""' not in own.text) is shown
    assert "<script>@x" not in own.text
    assert "Sign in to Example ID" in foreign.text
    assert foreign.status_code == 200


@pytest.mark.parametrize("request_id", ["", "x", "A" * 23, "//evil.org", "A" * 21 + "B", "<script>"])
async def test_a_malformed_request_id_is_left_out_of_the_page(
    browser: VisitingBrowser, request_id: str
) -> None:
    for path in ("/login", "/login/methods"):
        answer = await browser.client.get(path, params={"request": request_id}, headers=HTML)
        assert answer.status_code == 200
        assert "?request=" not in answer.text
        assert 'data-request=""' in answer.text


async def test_the_other_methods_page_leads_back_to_the_request(browser: VisitingBrowser) -> None:
    answer = await browser.client.get("/login/methods", params={"request": REQUEST_ID}, headers=HTML)

    assert answer.status_code == 200
    assert f"/login?request={REQUEST_ID}" in answer.text


async def test_a_new_visitor_gets_a_browser_cookie_and_no_session(site: PasskeySite) -> None:
    browser = site.browser()
    browser.client.cookies.clear()

    answer = await browser.client.get("/login", headers=HTML)

    [cookie] = answer.headers.get_list("set-cookie")
    assert cookie.startswith(f"{BROWSER_COOKIE}=")


def test_every_script_that_a_page_names_is_there() -> None:
    static = Path("idp/web/static")
    named = {
        line.split("static('")[1].split("'")[0]
        for template in resources.directory("templates").rglob("*.html")
        for line in template.read_text().splitlines()
        if "static('" in line and ".js'" in line
    }

    assert named == {
        *("account.js", "confirm.js", "enrol.js", "form-post.js", "login.js", "signup.js"),
        *("signed-out.js", "signing-out.js"),
    }
    assert all((static / name).is_file() for name in named)


async def test_a_planted_browser_cookie_is_worth_nothing_after_sign_in(site: PasskeySite) -> None:
    person = await site.person()
    attacker = site.browser()
    victim = site.browser()
    victim.put_cookie(BROWSER_COOKIE, attacker.client.cookies[BROWSER_COOKIE])

    assert (await victim.sign_in(person.authenticator)).status_code == 200

    assert victim.client.cookies[BROWSER_COOKIE] != attacker.client.cookies[BROWSER_COOKIE]
    assert_refused(await attacker.post("/passkeys/addition/options", {}), status=401, code="signed_out")
    victim.authenticator = person.authenticator
    assert (await victim.add(SoftwareAuthenticator())).status_code == 200
