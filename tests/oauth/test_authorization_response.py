"""How the answer of the authorization endpoint travels back to the client."""

import math
from collections import Counter
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from idp import opaque_token
from tests.support.answers import assert_error_text
from tests.support.node import (
    ISSUER,
    REDIRECT_URI,
    App,
    Node,
    Person,
    authorization_parameters,
    between,
    location_parameters,
)

STATES = (
    "x",
    "+ % & = \u00fc # ? / \\ \" ' < > ; %20 %00x",
    "\r\nSet-Cookie: x=1",
    "\u202e\u2028\U0001f511",
    '"><script>alert(1)</script>',
    "a" * 4096,
    "%2B+%252B ==&&",
    " leading and trailing ",
)


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app(first_party=True)


def fields_of(response: httpx.Response) -> dict[str, str]:
    """The fields of the form that a form_post page sends."""
    pairs = [
        (unescape(part.split('"', 1)[0]), unescape(between(part, 'value="', '"')))
        for part in response.text.split('<input type="hidden" name="')[1:]
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


async def test_success_and_error_name_the_issuer_byte_for_byte(node: Node, app: App, person: Person) -> None:
    issuer = (await node.http.get("/.well-known/openid-configuration")).json()["issuer"]

    success = await node.authorize(app, person)
    error = await node.authorize(app, person, response_type="token")

    assert issuer == ISSUER
    assert set(location_parameters(success)) == {"code", "state", "iss"}
    assert set(location_parameters(error)) == {"error", "error_description", "state", "iss"}
    for response in (success, error):
        assert response.status_code == 303
        assert response.content == b""
        assert location_parameters(response)["iss"] == issuer
        assert response.headers["location"].startswith(REDIRECT_URI + "?")
        assert urlsplit(response.headers["location"]).fragment == ""


async def test_any_state_comes_back_unchanged(node: Node, app: App, person: Person) -> None:
    for state in STATES:
        for parameters in ({}, {"response_type": "token"}):
            response = await node.authorize(app, person, state=state, **parameters)

            assert location_parameters(response)["state"] == state
            location = response.headers["location"]
            assert location.isascii()
            assert "\r" not in location
            assert "\n" not in location
            assert "x" not in dict(response.headers).get("set-cookie", "")


async def test_a_state_over_the_limit_is_an_error_without_it(node: Node, app: App, person: Person) -> None:
    kept = await node.authorize(app, person, state="x" * 8192)
    dropped = await node.authorize(app, person, state="x" * 8193)

    assert location_parameters(kept)["state"] == "x" * 8192
    assert set(location_parameters(dropped)) == {"error", "error_description", "iss"}
    assert location_parameters(dropped)["error"] == "invalid_request"


async def test_every_error_text_is_plain_and_echoes_nothing(node: Node, app: App, person: Person) -> None:
    nasty = '"\\<\u00fc>echo'
    for name in (
        "scope", "response_type", "response_mode", "code_challenge", "code_challenge_method", "prompt",
        "max_age", "id_token_hint", "resource", "request", "registration",
    ):  # fmt: skip
        answer = location_parameters(await node.authorize(app, person, **{name: nasty}))

        assert "code" not in answer, name
        assert_error_text(answer["error_description"])
        assert "echo" not in answer["error_description"], name


async def test_codes_are_long_and_random(node: Node, app: App, person: Person) -> None:
    codes = [await node.code(app, person) for _ in range(20)]

    assert len(set(codes)) == len(codes)
    for code in codes:
        assert len(code) >= 43
        counts = Counter(code)
        entropy = -sum(n * math.log2(n / len(code)) for n in counts.values())
        # What the OpenID Foundation's suite measures: at least 96 bits by Shannon.
        assert entropy > 96
    # No two codes share more than what time and format give.
    raw = [opaque_token.decode(code) or b"" for code in codes]
    tails = {value[-32:] for value in raw}
    assert len(tails) == len(codes)


async def test_form_post_sends_nothing_in_an_address(node: Node, app: App, person: Person) -> None:
    for state in STATES:
        response = await node.authorize(app, person, response_mode="form_post", state=state)

        assert response.status_code == 200
        assert "location" not in response.headers
        assert response.headers["cache-control"] == "no-store"
        assert '<form id="form-post" method="post" action="https://app.example/cb">' in response.text
        fields = fields_of(response)
        assert set(fields) == {"code", "state", "iss"}
        # An HTML parser gives a line break as LF; the form sends it as CRLF again.
        assert fields["state"] == state
        assert fields["iss"] == ISSUER
        assert "<script>alert" not in response.text

    redeemed = await node.redeem(app, fields["code"])
    assert redeemed.status_code == 200


async def test_form_post_carries_errors_too(node: Node, app: App, person: Person) -> None:
    silent = await node.authorize(
        app, Person(account_id="", email=""), response_mode="form_post", prompt="none"
    )
    wrong = await node.authorize(app, person, response_mode="form_post", scope="nobody-knows")

    assert silent.status_code == 200
    assert fields_of(silent)["error"] == "login_required"
    assert fields_of(wrong)["error"] == "invalid_scope"
    for response in (silent, wrong):
        assert set(fields_of(response)) == {"error", "error_description", "state", "iss"}


async def test_the_page_of_a_form_post_sends_itself_or_by_a_button(
    node: Node, app: App, person: Person
) -> None:
    page = await node.authorize(app, person, response_mode="form_post")

    script = between(page.text, '<script type="module" src="', '"')
    assert (await node.http.get(script)).status_code == 200
    assert "document.forms" in (await node.http.get(script)).text
    assert ">Continue</button>" in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "form-action 'self' https://app.example;" in policy


async def test_the_answer_goes_to_the_address_of_the_request_in_its_own_query(
    node: Node, person: Person
) -> None:
    uris = ["https://app.example/cb?dummy1=lorem&dummy2=ipsum", "https://app.example/other"]
    app = await node.app(first_party=True, redirect_uris=uris)

    for uri in uris:
        query = authorization_parameters(app) | {"redirect_uri": uri}
        response = await node.browser(person.cookies).get("/authorize", params=query)

        location = response.headers["location"]
        assert location.startswith(uri)
        pairs = parse_qsl(urlsplit(location).query)
        assert len({name for name, _ in pairs}) == len(pairs)
        assert [name for name, _ in pairs][-3:] == ["code", "state", "iss"]


async def test_nothing_that_leads_on_repeats_a_post(node: Node, app: App, person: Person) -> None:
    browser = node.browser(person.cookies)

    first = await browser.post("/authorize", data=authorization_parameters(app))
    second = await browser.get(first.headers["location"])

    # RFC 9700 §4.12: 303 alone makes every browser drop the body.
    assert (first.status_code, second.status_code) == (303, 303)
