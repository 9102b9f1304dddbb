import asyncio
import time
from typing import Any

import httpx
import pytest

from idp.demo.app import build_demo
from tests.demo.conftest import ORIGIN
from tests.demo.issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, SUBJECT, Issuer, new_key, sign
from tests.demo.test_relying_party import begin, come_back, is_signed_in, press

SESSION = "session-1"
EVENTS: dict[str, object] = {"http://schemas.openid.net/event/backchannel-logout": {}}
SIGNED_OUT = "You signed out at the provider, so you are signed out here, too."


def logout_token(issuer: Issuer, *, typ: str = "logout+jwt", **changes: Any) -> str:  # Any: any claim.
    now = int(time.time())
    claims = {
        "iss": issuer.address,
        "aud": CLIENT_ID,
        "sub": SUBJECT,
        "sid": SESSION,
        "iat": now,
        "exp": now + 120,
        "jti": "logout-1",
        "events": EVENTS,
    }
    return sign(claims | changes, key=issuer.key, typ=typ)


async def sign_in(browser: httpx.AsyncClient, issuer: Issuer, *, sid: str = SESSION) -> None:
    asked = await begin(browser)
    issuer.answer(nonce=asked["nonce"], sid=sid)
    assert (await come_back(browser, issuer, asked)).status_code == 303


async def tell(browser: httpx.AsyncClient, token: str) -> httpx.Response:
    """Send a token as the provider does: without the browser's cookies."""
    async with httpx.AsyncClient(transport=browser._transport, base_url=ORIGIN) as provider:  # noqa: SLF001 - the same app
        return await provider.post("/backchannel-logout", data={"logout_token": token})


@pytest.mark.parametrize(
    "changes", [{}, {"sub": None}, {"sid": None}, {"aud": [CLIENT_ID, "other"]}], ids=str
)
async def test_a_logout_token_ends_the_session_here(
    issuer: Issuer, browser: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    await sign_in(browser, issuer)

    answer = await tell(browser, logout_token(issuer, **changes))

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    page = await browser.get("/")
    assert SIGNED_OUT in page.text
    assert "token-1" not in page.text


async def test_a_second_copy_is_answered_like_the_first(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issuer)
    token = logout_token(issuer)
    assert [(await tell(browser, token)).status_code for _ in range(2)] == [200, 200]


async def test_another_session_and_another_person_stay_signed_in(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    assert (await tell(browser, logout_token(issuer, sid="session-2"))).status_code == 200
    assert (await tell(browser, logout_token(issuer, sid=None, sub="grace"))).status_code == 200
    assert (await tell(browser, logout_token(issuer, sub="grace"))).status_code == 200
    assert await is_signed_in(browser)


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"exp": 1},
        {"exp": None},
        {"iat": 1 << 40},
        {"iat": None},
        {"jti": None},
        {"events": None},
        {"events": {}},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": None}},
        {"events": list(EVENTS)},
        {"nonce": "n"},
        {"sid": None, "sub": None},
        {"sid": ""},
        {"sub": 7},
    ],
    ids=str,
)
async def test_a_logout_token_that_is_not_right_signs_nobody_out(
    issuer: Issuer, browser: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    await sign_in(browser, issuer)
    answer = await tell(browser, logout_token(issuer, **changes))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert await is_signed_in(browser)


async def test_an_id_token_signs_nobody_out(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issuer)
    assert (await tell(browser, issuer.token_answer["id_token"])).status_code == 400
    assert await is_signed_in(browser)


async def test_a_strangers_key_signs_nobody_out(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issuer)
    own, issuer.key = issuer.key, new_key("one")
    token = logout_token(issuer)
    issuer.key = own
    assert (await tell(browser, token)).status_code == 400
    assert await is_signed_in(browser)


async def test_nothing_at_all_is_refused(browser: httpx.AsyncClient) -> None:
    for form in ({}, {"logout_token": ""}, {"logout_token": "a.b.c"}, {"logout_token": "a" * 20_000}):
        answer = await browser.post("/backchannel-logout", data=form)
        assert answer.status_code == 400


async def test_while_the_provider_cannot_be_asked_the_token_is_to_be_sent_again(issuer: Issuer) -> None:
    issuer.is_down = True
    demo = build_demo(
        issuer=issuer.address,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        own_origin=ORIGIN,
        api_audience=AUDIENCE,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(demo), base_url=ORIGIN) as browser:
        answer = await browser.post("/backchannel-logout", data={"logout_token": logout_token(issuer)})
    assert answer.status_code == 503


async def test_a_refresh_that_was_under_way_brings_nobody_back(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await sign_in(browser, issuer)
    issuer.answer(nonce=None, sid=SESSION)
    issuer.is_holding_tokens = True
    refreshing = asyncio.create_task(press(browser, "/refresh"))
    while len(issuer.token_requests) < 2:  # noqa: ASYNC110 - the issuer runs in another thread
        await asyncio.sleep(0.01)
    await tell(browser, logout_token(issuer))
    issuer.is_holding_tokens = False
    await refreshing
    assert not await is_signed_in(browser)
