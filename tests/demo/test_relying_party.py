import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from idp.demo.app import build_demo
from tests.demo.issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Issuer, new_key


async def begin(browser: httpx.AsyncClient) -> dict[str, str]:
    """Press "Sign in"; answer what the demo asks the provider."""
    answer = await browser.get("/sign-in")
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


async def come_back(
    browser: httpx.AsyncClient, issuer: Issuer, asked: dict[str, str], **changes: str
) -> httpx.Response:
    """Come back from the provider with a code, but for the changes."""
    answer = {"code": "code-1", "state": asked["state"], "iss": issuer.address} | changes
    return await browser.get("/callback", params={name: value for name, value in answer.items() if value})


async def sign_in(browser: httpx.AsyncClient, issuer: Issuer) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"])
    answer = await come_back(browser, issuer, asked)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def press(browser: httpx.AsyncClient, action: str) -> httpx.Response:
    page = await browser.get("/")
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token, page.text
    return await browser.post(action, data={"csrf_token": token[1]})


async def is_signed_in(browser: httpx.AsyncClient) -> bool:
    return "You are signed in" in (await browser.get("/")).text


async def test_it_asks_for_a_code_with_pkce_state_and_nonce(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    assert {name: asked[name] for name in ("response_type", "client_id", "redirect_uri", "scope")} == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": "http://localhost:9000/callback",
        "scope": "openid profile email offline_access",
    }
    issuer.answer(nonce=asked["nonce"])
    await come_back(browser, issuer, asked)
    redeemed = issuer.token_requests[0]
    digest = hashlib.sha256(redeemed["code_verifier"].encode()).digest()
    assert asked["code_challenge_method"] == "S256"
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert len(asked["state"]) >= 20
    assert len(asked["nonce"]) >= 20
    credentials = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    assert redeemed["authorization"] == f"Basic {credentials}"


async def test_the_claims_are_shown_and_no_token_reaches_the_browser(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    page = await browser.get("/")
    for shown in ("You are signed in", "Ada", "ada@example.com", "token-1", "at_hash", "client_id"):
        assert shown in page.text
    sent = page.text + str(page.headers) + str(dict(browser.cookies))
    for secret in (
        issuer.token_answer["access_token"],
        issuer.token_answer["id_token"],
        issuer.token_answer["refresh_token"],
        CLIENT_SECRET,
    ):
        assert secret not in sent
    assert "<script" not in page.text


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"])
    cookie = (await come_back(browser, issuer, asked)).headers["set-cookie"]
    assert cookie.startswith("demo-session=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_a_cookie_from_before_the_sign_in_is_worth_nothing(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    planted = dict(browser.cookies)
    issuer.answer(nonce=asked["nonce"])
    await come_back(browser, issuer, asked)
    assert await is_signed_in(browser)
    browser.cookies.clear()
    browser.cookies.update(planted)
    assert not await is_signed_in(browser)


async def test_every_page_forbids_scripts_and_frames(browser: httpx.AsyncClient) -> None:
    for path in ("/", "/callback", "/signed-out", "/no-such-page", "/api/hello"):
        policy = (await browser.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "another"},
        {"state": ""},
        {"iss": "https://evil.example"},
        {"iss": ""},
        {"error": "access_denied", "code": ""},
        {"error": "access_denied", "code": "", "iss": "https://evil.example"},
        {"error": "server_error", "code": ""},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_right_signs_nobody_in(
    issuer: Issuer, browser: httpx.AsyncClient, changes: dict[str, str]
) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"])
    answer = await come_back(browser, issuer, asked, **changes)
    assert answer.status_code == 400
    assert 'href="/sign-in"' in answer.text
    assert issuer.token_requests == []
    assert not await is_signed_in(browser)


async def test_another_browser_cannot_finish_a_sign_in(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"])
    browser.cookies.clear()
    assert (await come_back(browser, issuer, asked)).status_code == 400
    assert issuer.token_requests == []


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"aud": ["another-client"], "azp": CLIENT_ID},
        {"exp": 1},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"sub": None},
        {"sub": "somebody-else"},
    ],
    ids=str,
)
async def test_an_id_token_that_is_not_right_signs_nobody_in(
    issuer: Issuer, browser: httpx.AsyncClient, changes: dict[str, object]
) -> None:
    asked = await begin(browser)
    issuer.answer(**({"nonce": asked["nonce"]} | changes))  # type: ignore[arg-type]  # nonce may be spoilt too
    answer = await come_back(browser, issuer, asked)
    assert answer.status_code == 400
    assert not await is_signed_in(browser)


async def test_an_id_token_of_a_strangers_key_signs_nobody_in(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    issuer.key = new_key("one")
    issuer.answer(nonce=asked["nonce"])
    assert (await come_back(browser, issuer, asked)).status_code == 400
    assert not await is_signed_in(browser)


async def test_a_code_that_the_provider_refuses_signs_nobody_in(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    issuer.token_answer, issuer.token_status = {"error": "invalid_grant"}, 400
    assert (await come_back(browser, issuer, asked)).status_code == 400
    assert not await is_signed_in(browser)


async def test_a_reloaded_callback_leads_home_and_redeems_nothing(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"])
    await come_back(browser, issuer, asked)
    again = await come_back(browser, issuer, asked)
    assert (again.status_code, again.headers["location"]) == (303, "/")
    assert len(issuer.token_requests) == 1


async def test_refresh_replaces_both_tokens(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issuer)
    issuer.answer(nonce=None)
    answer = await press(browser, "/refresh")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "token-2" in (await browser.get("/")).text
    issuer.answer(nonce=None)
    await press(browser, "/refresh")
    presented = [request["refresh_token"] for request in issuer.token_requests[1:]]
    assert presented == ["refresh-1", "refresh-2"]


async def test_two_refreshes_at_once_present_the_token_once(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    issuer.answer(nonce=None)
    await asyncio.gather(press(browser, "/refresh"), press(browser, "/refresh"))
    presented = [request["refresh_token"] for request in issuer.token_requests[1:]]
    assert presented == ["refresh-1"]


async def test_a_refreshed_id_token_about_somebody_else_is_refused(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    issuer.answer(nonce=None, sub="somebody-else")
    await press(browser, "/refresh")
    page = await browser.get("/")
    assert 'role="alert"' in page.text
    assert "somebody-else" not in page.text


async def test_a_sign_in_that_ended_at_the_provider_ends_here_in_words(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    issuer.token_answer, issuer.token_status = {"error": "invalid_grant"}, 400
    await press(browser, "/refresh")
    page = await browser.get("/")
    assert "Your sign-in has ended at the provider. Sign in again." in page.text
    assert not await is_signed_in(browser)


async def test_trouble_at_the_provider_leaves_the_person_signed_in(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    issuer.token_status = 503
    await press(browser, "/refresh")
    page = await browser.get("/")
    assert "You are signed in" in page.text
    assert "Try again in a moment" in page.text


@pytest.mark.parametrize("action", ["/refresh", "/call-api", "/sign-out"])
async def test_a_form_that_another_site_sends_does_nothing(
    issuer: Issuer, browser: httpx.AsyncClient, action: str
) -> None:
    await sign_in(browser, issuer)
    for data in ({}, {"csrf_token": "guess"}, {"csrf_token": "é"}):
        assert (await browser.post(action, data=data)).status_code == 403
    assert await is_signed_in(browser)
    assert len(issuer.token_requests) == 1
    assert (await browser.get(action)).status_code == 405


async def test_sign_out_ends_both_sessions(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issuer)
    cookies = dict(browser.cookies)
    answer = await press(browser, "/sign-out")
    assert answer.status_code == 303
    address = urlsplit(answer.headers["location"])
    query = parse_qs(address.query)
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{issuer.address}/logout"
    assert query["id_token_hint"] == [issuer.token_answer["id_token"]]
    assert query["post_logout_redirect_uri"] == ["http://localhost:9000/signed-out"]
    browser.cookies.update(cookies)
    assert not await is_signed_in(browser)
    assert "You are signed out" in (await browser.get("/signed-out")).text


async def test_a_provider_that_is_down_is_said_in_words_and_found_again(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    issuer.is_down = True
    answer = await browser.get("/sign-in")
    assert answer.status_code == 502
    assert "The provider can&#39;t be reached" in answer.text
    issuer.is_down = False
    await sign_in(browser, issuer)


async def test_metadata_is_read_again_after_a_while(
    issuer: Issuer, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(browser)
    await begin(browser)
    assert issuer.metadata_readings == 1
    monkeypatch.setattr("idp.demo.provider.METADATA_MAX_AGE_SECONDS", 0)
    await begin(browser)
    assert issuer.metadata_readings == 2


async def test_metadata_of_another_issuer_is_not_believed(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    issuer.name = "https://evil.example"
    assert (await browser.get("/sign-in")).status_code == 502


async def test_a_key_that_the_provider_made_meanwhile_is_found(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    issuer.key = new_key("two")
    issuer.published = [issuer.key]
    await sign_in(browser, issuer)
    assert await is_signed_in(browser)


async def test_names_are_shown_as_text_whatever_they_are(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    issuer.person["name"] = "<script>alert(1)</script>"
    await sign_in(browser, issuer)
    page = await browser.get("/")
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


@pytest.fixture
async def secure_browser(issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    origin = "https://demo.example"
    demo = build_demo(
        issuer=issuer.address,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        own_origin=origin,
        api_audience=AUDIENCE,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(demo), base_url=origin) as opened:
        yield opened


async def test_over_tls_the_cookie_is_bound_to_the_host(secure_browser: httpx.AsyncClient) -> None:
    answer = await secure_browser.get("/sign-in")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-demo-session=")
    assert "Secure" in cookie


async def test_two_tabs_on_their_way_do_not_disturb_each_other(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    first, second = await begin(browser), await begin(browser)
    issuer.answer(nonce=first["nonce"])
    assert (await come_back(browser, issuer, first)).headers["location"] == "/"
    # Signed in by then, the second tab arrives as well, and redeems nothing.
    assert (await come_back(browser, issuer, second)).headers["location"] == "/"
    assert len(issuer.token_requests) == 1
    assert await is_signed_in(browser)


async def test_one_answer_that_comes_twice_at_once_is_redeemed_once(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"])
    await asyncio.gather(come_back(browser, issuer, asked), come_back(browser, issuer, asked))
    assert len(issuer.token_requests) == 1


async def test_a_browser_that_begins_again_and_again_fills_no_memory(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    begun = [await begin(browser) for _ in range(12)]
    assert (await come_back(browser, issuer, begun[0])).status_code == 400
    issuer.answer(nonce=begun[11]["nonce"])
    assert (await come_back(browser, issuer, begun[11])).headers["location"] == "/"
