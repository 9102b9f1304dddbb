"""What an authorization request may say, and what each wrong word is answered with."""

import asyncio
import time
from urllib.parse import urlencode

import httpx
import pytest

from idp.clients import registration
from tests.support.answers import (
    assert_error_page,
    assert_redirected_error,
    contents,
)
from tests.support.node import (
    CHALLENGE,
    App,
    Node,
    Person,
    authorization_parameters,
    claims_of,
    header_of,
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
    query = urlencode(pairs)
    return await node.browser(person.cookies).get(f"/authorize?{query}")


async def changed(node: Node, app: App, person: Person, **changes: str) -> httpx.Response:
    """Send the app's right request with something changed; an empty value is sent as such."""
    return await send(node, person, authorization_parameters(app) | changes)


async def assert_still_right(node: Node, app: App, person: Person) -> None:
    assert "code" in location_parameters(await changed(node, app, person))


# What may not be redirected.


async def test_no_other_redirect_uri_than_the_registered_one_is_redirected_to(
    node: Node, app: App, person: Person
) -> None:
    before = await contents(node)
    for uri in [
        EVIL,
        "https://app.example/cbx",
        "https://app.example/cb/x",
        "https://app.example/cb/",
        "https://app.example/c",
        "https://app.example",
        "https://app.example.evil/cb",
        "https://xapp.example/cb",
        "https://evil.example/https://app.example/cb",
        "https://app.example@evil.example/cb",
        "https://evil.example\\@app.example/cb",
        "https://app.example:443/cb",
        "https://app.example:8443/cb",
        "http://app.example/cb",
        "HTTPS://app.example/cb",
        "https://APP.example/cb",
        "//app.example/cb",
        "/cb",
        "app.example/cb",
        "https:app.example/cb",
        "https:///app.example/cb",
        "https://app.example/cb/../evil",
        "https://app.example/cb/..;/evil",
        "https://app.example/cb/%2e%2e/evil",
        "https://app.example/cb;x",
        "https://app.example/./cb",
        "https://app.example//cb",
        "https://app.example/%63b",
        "https://app.example/CB",
        "https://app.example/cb?x=1",
        "https://app.example/cb?",
        "https://app.example/cb#x",
        "https://app.example/cb#",
        "https://app\uff0eexample/cb",
        "https://app.example\u2044.evil/cb",
        "https://\u0430pp.example/cb",
        "https://app.exa\u200bmple/cb",
        "https://app.example/\u202ecb",
        "https://xn--pp-1ka.example/cb",
        " https://app.example/cb",
        "https://app.example/cb ",
        "https://app.example/cb\n",
        "https://app.example/cb\r\nSet-Cookie: x=1",
        "https://app.example/cb%0d%0aSet-Cookie:x=1",
        "https://app.example/\tcb",
        "https://app.example/cb\x7f",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.example/cb" + "x" * 5000,
        "*",
        "https://*.example/cb",
    ]:
        response = await changed(node, app, person, redirect_uri=uri)

        assert_error_page(response)
        assert "evil" not in response.text
        assert "set-cookie" not in response.headers
    assert await contents(node) == before
    await assert_still_right(node, app, person)


async def test_nul_and_broken_text_are_an_error_page(node: Node, app: App, person: Person) -> None:
    right = str(httpx.QueryParams(authorization_parameters(app)))
    before = await contents(node)
    for wrong in ("x=%00", "state=%ff", "state=%ed%a0%80", "state=%c0%af", "%00=x", "%ff=x"):
        response = await node.browser(person.cookies).get(f"/authorize?{right}&{wrong}")

        assert_error_page(response)
    assert await contents(node) == before


async def test_the_query_of_a_registered_redirect_uri_is_part_of_it(node: Node, person: Person) -> None:
    app = await node.app(first_party=True, redirect_uris=["https://app.example/cb?a=1&b=%20x"])

    for uri in (
        "https://app.example/cb",
        "https://app.example/cb?a=1",
        "https://app.example/cb?b=%20x&a=1",
        "https://app.example/cb?a=1&b=+x",
        "https://app.example/cb?a=1&b=%20x&c=2",
    ):
        assert_error_page(await changed(node, app, person, redirect_uri=uri))

    response = await changed(node, app, person)
    assert response.headers["location"].startswith("https://app.example/cb?a=1&b=%20x&code=")
    assert set(location_parameters(response)) == {"a", "b", "code", "state", "iss"}


async def test_the_port_of_a_loopback_address_is_free_and_nothing_else_about_it(
    node: Node, person: Person
) -> None:
    app = await node.app(
        first_party=True, application_type="native", redirect_uris=["http://127.0.0.1/cb", "http://[::1]/cb"]
    )
    for uri in (
        "http://localhost:51004/cb",
        "http://127.1/cb",
        "http://0x7f000001/cb",
        "http://2130706433/cb",
        "http://127.0.0.2:51004/cb",
        "http://127.0.0.1.evil/cb",
        "http://127.0.0.1:51004.evil/cb",
        "http://127.0.0.1:51004@evil.example/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://[0:0:0:0:0:0:0:1]/cb",
        "https://127.0.0.1:51004/cb",
        "http://127.0.0.1:51004/cb/x",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:/cb",
    ):
        assert_error_page(await changed(node, app, person, redirect_uri=uri))

    for uri in ("http://127.0.0.1:51004/cb", "http://127.0.0.1/cb", "http://[::1]:51004/cb"):
        response = await changed(node, app, person, redirect_uri=uri)
        assert response.headers["location"].startswith(f"{uri}?code=")


async def test_a_private_use_scheme_is_answered_as_registered(node: Node, person: Person) -> None:
    app = await node.app(first_party=True, application_type="native", redirect_uris=["com.example.app:/cb"])

    for uri in (
        "com.example.app:/cb/x",
        "com.example.app://cb",
        "com.example.appx:/cb",
        "COM.example.app:/cb",
    ):
        assert_error_page(await changed(node, app, person, redirect_uri=uri))

    response = await changed(node, app, person)
    assert response.headers["location"].startswith("com.example.app:/cb?code=")


async def test_a_repeated_client_or_redirect_uri_is_never_redirected(
    node: Node, app: App, person: Person
) -> None:
    right = list(authorization_parameters(app).items())
    other = await node.app(first_party=True, redirect_uris=[EVIL])
    before = await contents(node)

    for pairs in (
        [*right, ("redirect_uri", EVIL)],
        [("redirect_uri", EVIL), *right],
        [*right, ("redirect_uri", app.redirect_uri)],
        [*right, ("client_id", other.id)],
        [("client_id", other.id), *right],
        [*right, ("client_id", app.id)],
    ):
        assert_error_page(await send(node, person, pairs))

    assert await contents(node) == before


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


async def test_an_unknown_client_reads_the_same_page_as_a_bad_redirect_uri(
    node: Node, app: App, person: Person
) -> None:
    disabled = await node.app()
    await node.provider.database.transact(registration.disable, client_id=disabled.id, now=node.clock())

    pages = []
    for changes in (
        {"client_id": "nobody-here"},
        {"redirect_uri": EVIL},
        {"client_id": "nobody-here", "redirect_uri": EVIL},
        {"client_id": disabled.id},
        {"client_id": "\u00fc"},
        {"client_id": "x" * 9000},
        {"client_id": "a' OR 1=1 --"},
    ):
        response = await changed(node, app, person, **changes)
        assert_error_page(response)
        reference = response.headers["x-request-id"]
        pages.append(response.text.replace(f"{reference[:4]}-{reference[4:]}", "REFERENCE"))

    assert len(set(pages)) == 1


async def test_a_redirect_uri_is_required_even_where_one_alone_is_registered(
    node: Node, app: App, person: Person
) -> None:
    two = await node.app(first_party=True, redirect_uris=[app.redirect_uri, "https://app.example/cb2"])

    for client in (app, two):
        for scope in ("openid", "offline_access"):
            query = authorization_parameters(client) | {"scope": scope}
            del query["redirect_uri"]
            assert_error_page(await send(node, person, query))
            assert_error_page(await send(node, person, query | {"redirect_uri": ""}))


async def test_a_request_without_client_is_an_error_page(node: Node, app: App, person: Person) -> None:
    assert_error_page(await node.browser(person.cookies).get("/authorize"))
    assert_error_page(await changed(node, app, person, client_id=""))


async def test_a_flood_of_parameters_is_an_error_page(node: Node, app: App, person: Person) -> None:
    flood = [(f"p{n}", "x") for n in range(2000)]
    assert_error_page(await send(node, person, list(authorization_parameters(app).items()) + flood))
    assert_error_page(await changed(node, app, person, state="x" * 60_000))


# What the client is told.


async def test_a_repeated_parameter_is_invalid(node: Node, app: App, person: Person) -> None:
    right = authorization_parameters(app)
    before = await contents(node)
    for name in (
        "scope", "response_type", "code_challenge", "code_challenge_method", "nonce", "prompt",
        "max_age", "login_hint", "id_token_hint", "acr_values", "ui_locales", "anything",
    ):  # fmt: skip
        value = right.get(name, "x")
        pairs = [(key, text) for key, text in right.items() if key != name]

        for repeated in ([(name, value), (name, value)], [(name, value), (name, "y")]):
            assert_redirected_error(await send(node, person, pairs + repeated), "invalid_request")
    assert await contents(node) == before
    await assert_still_right(node, app, person)


async def test_a_repeated_state_is_invalid_and_comes_back_in_neither_form(
    node: Node, app: App, person: Person
) -> None:
    pairs = [*authorization_parameters(app).items(), ("state", "s-2")]

    assert_redirected_error(await send(node, person, pairs), "invalid_request", state=None)


async def test_a_repeated_response_mode_is_invalid_and_told_in_the_query(
    node: Node, app: App, person: Person
) -> None:
    pairs = [
        *authorization_parameters(app).items(),
        ("response_mode", "form_post"),
        ("response_mode", "query"),
    ]

    assert_redirected_error(await send(node, person, pairs), "invalid_request")


async def test_an_empty_value_counts_as_none(node: Node, app: App, person: Person) -> None:
    assert_redirected_error(await changed(node, app, person, code_challenge=""), "invalid_request")
    assert_redirected_error(await changed(node, app, person, scope=""), "invalid_scope")
    assert_redirected_error(await changed(node, app, person, response_type=""), "invalid_request")
    assert_redirected_error(await changed(node, app, person, code_challenge_method=""), "invalid_request")

    for name in ("prompt", "max_age", "nonce", "request", "request_uri", "response_mode", "id_token_hint"):
        assert "code" in location_parameters(await changed(node, app, person, **{name: ""}))
    assert set(location_parameters(await changed(node, app, person, state=""))) == {"code", "iss"}


async def test_a_missing_response_type_is_told_to_the_client(node: Node, app: App, person: Person) -> None:
    query = authorization_parameters(app)
    del query["response_type"]

    assert_redirected_error(await send(node, person, query), "invalid_request")


async def test_no_response_type_but_code_is_supported(node: Node, app: App, person: Person) -> None:
    before = await contents(node)
    for response_type in (
        "token", "id_token", "code token", "code id_token", "id_token token", "none", "code code", "Code",
    ):  # fmt: skip
        response = await changed(node, app, person, response_type=response_type)

        assert_redirected_error(response, "unsupported_response_type")
        assert "token=" not in response.headers["location"]
    assert await contents(node) == before


async def test_no_response_mode_but_query_and_form_post_is_supported(
    node: Node, app: App, person: Person
) -> None:
    before = await contents(node)
    for mode in ("fragment", "web_message", "jwt", "query.jwt", "form_post.jwt", "xyz", "FORM_POST"):
        response = await changed(node, app, person, response_mode=mode)

        assert_redirected_error(response, "invalid_request")
        assert "#" not in response.headers["location"]
    assert await contents(node) == before
    assert "code" in location_parameters(await changed(node, app, person, response_mode="query"))


async def test_a_client_without_the_code_grant_is_unauthorized(node: Node, person: Person) -> None:
    app = await node.app(grant_types=["client_credentials"], redirect_uris=["https://app.example/cb"])

    assert_redirected_error(await changed(node, app, person, scope="openid"), "unauthorized_client")


@pytest.mark.parametrize("kind", ["none", "client_secret_basic"])
async def test_every_client_must_send_an_s256_challenge(node: Node, person: Person, kind: str) -> None:
    app = await node.app(first_party=True, token_endpoint_auth_method=kind)
    before = await contents(node)
    for challenge, method in (
        ("", ""),
        ("", "S256"),
        (CHALLENGE, ""),
        (CHALLENGE, "plain"),
        (CHALLENGE, "s256"),
        (CHALLENGE, "S512"),
        (CHALLENGE, "S256 plain"),
        (CHALLENGE[:-1], "S256"),
        (CHALLENGE + "A", "S256"),
        (CHALLENGE + "=", "S256"),
        (CHALLENGE[:-1] + "N", "S256"),
        ("x" * 129, "S256"),
        ("+/" + CHALLENGE[2:], "S256"),
        (" " + CHALLENGE[1:], "S256"),
        (CHALLENGE + "\n", "S256"),
        ("\u00e4" + CHALLENGE[1:], "S256"),
    ):
        query = authorization_parameters(app) | {
            "code_challenge": challenge,
            "code_challenge_method": method,
        }

        assert_redirected_error(await send(node, person, query), "invalid_request")
    query = authorization_parameters(app)
    del query["code_challenge"], query["code_challenge_method"]
    missing = await send(node, person, query)
    assert_redirected_error(missing, "invalid_request")
    assert location_parameters(missing)["error_description"] == "code_challenge is required (S256)"
    assert await contents(node) == before


async def test_request_objects_and_references_are_refused_by_name_and_never_fetched(
    node: Node, app: App, person: Person
) -> None:
    connections: list[object] = []

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    listener = await asyncio.start_server(count, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    before = await contents(node)
    async with listener:
        for uri in (
            f"http://127.0.0.1:{port}/",
            "https://app.example/request.jwt",
            "urn:x",
            "file:///etc/passwd",
        ):
            response = await changed(node, app, person, request_uri=uri)
            assert_redirected_error(response, "request_uri_not_supported")
    for request in ("eyJhbGciOiJub25lIn0.e30.", "x", "e30.e30.e30"):
        assert_redirected_error(await changed(node, app, person, request=request), "request_not_supported")
    assert_redirected_error(await changed(node, app, person, registration="{}"), "registration_not_supported")
    assert connections == []
    assert await contents(node) == before


async def test_a_request_object_never_replaces_the_parameters_around_it(
    node: Node, app: App, person: Person
) -> None:
    # header {"alg":"none"}, payload {"redirect_uri":"https://evil.example/cb"}
    unsigned = "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwuZXhhbXBsZS9jYiJ9."
    query = authorization_parameters(app) | {"request": unsigned}
    del query["redirect_uri"]

    assert_error_page(await send(node, person, query))


async def test_malformed_and_flooding_scopes_are_refused_at_once(
    node: Node, app: App, person: Person
) -> None:
    before = await contents(node)
    for scope in (
        " openid",
        "openid ",
        "openid  profile",
        "openid\tprofile",
        'open"id',
        "open\\id",
        "openid \u00fc",
        "openid\n",
        " ".join(f"s{n}" for n in range(101)),
        "openid " + "x" * 4000,
        "openid " + "x" * 256,
        "nobody-knows-this",
    ):
        response = await changed(node, app, person, scope=scope)

        assert_redirected_error(response, "invalid_scope")
    for flood in (" ".join(f"s{n}" for n in range(6_000)), "x " * 18_000, "x" * 60_000):
        started = time.perf_counter()
        assert_error_page(await changed(node, app, person, scope=flood))
        assert time.perf_counter() - started < 1
    assert await contents(node) == before


async def test_unknown_scopes_are_passed_over_and_known_ones_not_registered_are_refused(
    node: Node, person: Person
) -> None:
    app = await node.app(first_party=True, scope="openid email")

    tokens = await node.tokens(app, person, scope="openid addresses xyz email openid")
    assert tokens["scope"] == "openid email"

    assert_redirected_error(await changed(node, app, person, scope="openid profile"), "invalid_scope")
    assert_redirected_error(await changed(node, app, person, scope="openid offline_access"), "invalid_scope")


async def test_unknown_parameters_and_hints_change_nothing(node: Node, app: App, person: Person) -> None:
    for extra in (
        {"extra": "foobar"},
        {"display": "page"},
        {"display": "popup"},
        {"ui_locales": "se"},
        {"claims_locales": "de"},
        {"login_hint": "ada@example.com"},
        {"login_hint": "\u202e<script>"},
        {"acr_values": "phr"},
        {"acr_values": "urn:unknown other"},
        {"claims": '{"userinfo":{"name":{"essential":true}}}'},
        {"code_challenge_method_": "x"},
    ):
        assert "code" in location_parameters(await changed(node, app, person, **extra))


async def test_hints_over_the_limit_are_refused(node: Node, app: App, person: Person) -> None:
    before = await contents(node)
    for name in ("nonce", "login_hint", "ui_locales", "claims_locales", "acr_values", "display"):
        assert_redirected_error(await changed(node, app, person, **{name: "x" * 2049}), "invalid_request")
    assert await contents(node) == before


async def test_parameters_may_come_in_any_order_and_scopes_too(node: Node, app: App, person: Person) -> None:
    pairs = list(reversed(authorization_parameters(app).items()))
    pairs = [(name, "email profile openid" if name == "scope" else value) for name, value in pairs]

    assert "code" in location_parameters(await send(node, person, pairs))


async def test_a_resource_must_be_one_of_the_clients(node: Node, person: Person) -> None:
    app = await node.app(
        first_party=True,
        audiences=["https://a.example/api", "https://b.example/api"],
        default_audience="https://a.example/api",
    )
    before = await contents(node)
    for resource in (
        "https://c.example/api",
        "https://a.example/api/",
        "https://a.example/api#x",
        "https://a.example/api#",
        "a.example/api",
        "x" * 3000,
        "https://a.example/api https://b.example/api",
    ):
        assert_redirected_error(await changed(node, app, person, resource=resource), "invalid_target")
    assert await contents(node) == before

    both = [*authorization_parameters(app).items(), ("resource", "https://b.example/api")]
    assert "code" in location_parameters(await send(node, person, both))


# prompt, max_age and hints: who has to sign in.


async def test_a_person_who_is_not_signed_in_goes_to_the_sign_in_page(node: Node, app: App) -> None:
    nobody = Person(account_id="", email="")

    response = await changed(node, app, nobody)

    assert response.status_code == 303
    assert response.headers["location"].startswith("/login?request=")


async def test_prompt_none_never_shows_a_page(node: Node, app: App, person: Person) -> None:
    third_party = await node.app()
    nobody = Person(account_id="", email="")
    before = await contents(node)

    assert_redirected_error(await changed(node, app, nobody, prompt="none"), "login_required")
    assert_redirected_error(await changed(node, third_party, person, prompt="none"), "consent_required")

    assert await contents(node) == before
    assert "code" in location_parameters(await changed(node, app, person, prompt="none"))


async def test_prompt_none_keeps_subject_and_time_of_the_sign_in(
    node: Node, app: App, person: Person
) -> None:
    first = claims_of((await node.tokens(app, person))["id_token"])
    node.clock.advance(100)

    second = claims_of((await node.tokens(app, person, prompt="none"))["id_token"])

    assert (second["sub"], second["auth_time"]) == (first["sub"], first["auth_time"])
    assert second["iat"] == first["iat"] + 100


@pytest.mark.parametrize(
    ("prompt", "page"),
    [
        ("login", "/login"),
        ("select_account", "/login"),
        ("create", "/signup"),
        ("login consent", "/login"),
        ("login create", "/signup"),
    ],
)
async def test_a_prompt_asks_although_someone_is_signed_in(
    node: Node, app: App, person: Person, prompt: str, page: str
) -> None:
    node.clock.advance(1)

    waiting = await node.authorize(app, person, prompt=prompt)
    assert waiting.headers["location"].startswith(f"{page}?request=")

    # Coming back without having signed in leads to the page again, whatever prompt said.
    again = await node.browser(person.cookies).get(f"/authorize?request={waiting_request(waiting)}")
    assert again.headers["location"].startswith("/login?request=")


async def test_prompt_login_ends_with_a_later_time_of_sign_in(node: Node, app: App, person: Person) -> None:
    first = claims_of((await node.tokens(app, person))["id_token"])
    node.clock.advance(60)
    waiting = await node.authorize(app, person, prompt="login")

    node.clock.advance(5)
    await node.sign_in(person)
    answer = await node.browser(person.cookies).get(f"/authorize?request={waiting_request(waiting)}")

    tokens = (await node.redeem(app, location_parameters(answer)["code"])).json()
    assert claims_of(tokens["id_token"])["auth_time"] == first["auth_time"] + 65


async def test_prompt_consent_asks_again_for_what_is_allowed_already(node: Node, person: Person) -> None:
    app = await node.app()
    await node.tokens(app, person)

    response = await node.authorize(app, person, prompt="consent")

    assert response.headers["location"].startswith("/consent?request=")


async def test_unknown_and_contradicting_prompts_are_refused(node: Node, app: App, person: Person) -> None:
    before = await contents(node)
    for prompt in ("none login", "none consent", "none create", "Login", "x", "login x", "none none x"):
        assert_redirected_error(await changed(node, app, person, prompt=prompt), "invalid_request")
    assert await contents(node) == before


async def test_max_age_asks_for_a_sign_in_that_is_young_enough(node: Node, app: App, person: Person) -> None:
    node.clock.advance(100)

    for max_age in ("0", "1", "100"):
        response = await changed(node, app, person, max_age=max_age)
        assert response.headers["location"].startswith("/login?request="), max_age
        assert_redirected_error(
            await changed(node, app, person, max_age=max_age, prompt="none"), "login_required"
        )
    for max_age in ("101", "10000", "999999999"):
        assert "code" in location_parameters(await changed(node, app, person, max_age=max_age))


async def test_a_sign_in_for_the_request_satisfies_its_max_age(node: Node, app: App, person: Person) -> None:
    node.clock.advance(100)
    for max_age in ("0", "1"):
        waiting = await node.authorize(app, person, max_age=max_age)
        await node.sign_in(person)
        node.clock.advance(3)

        answer = await node.browser(person.cookies).get(f"/authorize?request={waiting_request(waiting)}")

        assert "code" in location_parameters(answer)


async def test_only_a_new_session_satisfies_a_request_for_a_fresh_sign_in(
    node: Node, app: App, person: Person
) -> None:
    node.clock.advance(100)
    waiting = await node.authorize(app, person, max_age="1")
    address = f"/authorize?request={waiting_request(waiting)}"

    # Neither seeing the session again nor an old ID Token makes it younger.
    await node.authorize(app, person)
    again = await node.browser(person.cookies).get(address)

    assert again.headers["location"].startswith("/login?request=")


async def test_max_age_must_be_a_number_of_seconds(node: Node, app: App, person: Person) -> None:
    before = await contents(node)
    for max_age in ("-1", "1.5", "1e3", "x", "9999999999", "\u0663", "1 ", "+1", "0x1"):
        assert_redirected_error(await changed(node, app, person, max_age=max_age), "invalid_request")
    assert await contents(node) == before


async def test_the_max_age_that_a_client_registered_holds_where_it_sends_none(
    node: Node, person: Person
) -> None:
    app = await node.app(first_party=True, default_max_age=60)
    node.clock.advance(60)

    assert_redirected_error(await changed(node, app, person, prompt="none"), "login_required")
    assert "code" in location_parameters(await changed(node, app, person, prompt="none", max_age="3600"))


async def test_a_hint_about_the_person_signed_in_is_silent_even_when_it_expired(
    node: Node, app: App, person: Person
) -> None:
    hint = (await node.tokens(app, person))["id_token"]
    node.clock.advance(20 * 3600)

    silent = await changed(node, app, person, prompt="none", id_token_hint=hint)

    assert "code" in location_parameters(silent)


async def test_a_hint_about_another_person_is_login_required_when_silent(
    node: Node, app: App, person: Person
) -> None:
    hint = (await node.tokens(app, person))["id_token"]
    other = await node.person("grace@example.com")

    response = await changed(node, app, other, prompt="none", id_token_hint=hint)

    assert_redirected_error(response, "login_required")


async def test_a_forged_hint_is_invalid(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    header, payload, signature = tokens["id_token"].split(".")
    assert header_of(tokens["id_token"])["alg"] == "RS256"
    before = await contents(node)
    for hint in (
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"eyJhbGciOiJub25lIn0.{payload}.",
        f"{header}.{payload}",
        "x",
        tokens["access_token"],
        tokens["refresh_token"],
        "x" * 20_000,
    ):
        response = await changed(node, app, person, id_token_hint=hint, prompt="none")
        assert_redirected_error(response, "invalid_request")
    assert await contents(node) == before


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


# The same by POST.


async def test_a_request_by_post_comes_again_as_a_get(node: Node, app: App, person: Person) -> None:
    browser = node.browser(person.cookies)

    first = await browser.post("/authorize", data=authorization_parameters(app))
    assert first.status_code == 303
    second = await browser.get(first.headers["location"])

    assert location_parameters(second)["state"] == "s-1"
    assert "code" in location_parameters(second)


async def test_a_post_of_another_kind_is_an_error_page(node: Node, person: Person) -> None:
    browser = node.browser(person.cookies)
    before = await contents(node)

    for content_type in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        response = await browser.post("/authorize", content=b"x", headers={"Content-Type": content_type})
        assert_error_page(response, status=415)
    assert_error_page(await browser.post("/authorize", content=b"a=%ff", headers=FORM))
    assert_error_page(
        await browser.post("/authorize", content=b"a=" + b"x" * 70_000, headers=FORM), status=413
    )
    assert await contents(node) == before


async def test_other_verbs_are_not_allowed(node: Node) -> None:
    for verb in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ANYTHING"):
        response = await node.http.request(verb, "/authorize")
        assert response.status_code == 405
        assert response.headers["allow"] == "GET, HEAD, POST"
