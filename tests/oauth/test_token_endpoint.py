"""POST /token: what it takes, what it refuses, and that a refusal costs the client nothing."""

import base64
import hashlib

import pytest

from idp import opaque_token
from tests.support.answers import assert_json_error, contents
from tests.support.node import (
    ISSUER,
    REDIRECT_URI,
    VERIFIER,
    App,
    Node,
    Person,
    claims_of,
    header_of,
    new_pkce,
)

A, B = "https://a.example/api", "https://b.example/api"


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


async def assert_still_good(node: Node, app: App, code: str, **changes: str) -> None:
    assert (await node.redeem(app, code, **changes)).status_code == 200


# The answer.


async def test_the_answer_is_json_that_nobody_keeps(node: Node, app: App, person: Person) -> None:
    response = await node.redeem(app, await node.code(app, person))

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    answer = response.json()
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 900)
    assert answer["scope"] == "openid profile email offline_access"


async def test_the_nonce_is_there_byte_for_byte_or_not_at_all(node: Node, app: App, person: Person) -> None:
    for nonce in ("n-1", "+ %20&=\u00fc", "x" * 64, "x" * 2048, '"\\<>'):
        tokens = await node.tokens(app, person, nonce=nonce)
        assert claims_of(tokens["id_token"])["nonce"] == nonce

    assert "nonce" not in claims_of((await node.tokens(app, person, nonce=""))["id_token"])


async def test_the_id_token_says_who_signed_in_when_and_no_more(node: Node, app: App, person: Person) -> None:
    node.clock.advance(100)

    tokens = await node.tokens(app, person)

    claims = claims_of(tokens["id_token"])
    assert set(claims) == {
        "iss", "sub", "aud", "iat", "exp", "auth_time", "acr", "amr", "at_hash", "sid", "nonce"
    }  # fmt: skip
    assert (claims["iss"], claims["sub"], claims["aud"]) == (ISSUER, person.account_id, app.id)
    assert claims["iat"] == int(node.clock().timestamp())
    assert claims["auth_time"] == claims["iat"] - 100
    assert claims["sub"].isascii()
    assert len(claims["sub"]) <= 255
    # OIDC Core §3.1.3.6: the left half of the digest.
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
    assert header_of(tokens["id_token"])["alg"] == "RS256"


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(node: Node, person: Person) -> None:
    app = await node.app(grant_types=["authorization_code"])

    tokens = await node.tokens(app, person, scope="openid email")

    assert "refresh_token" not in tokens
    response = await node.refresh(app, "x" * 74)
    assert_json_error(response, "unauthorized_client")


# The code and what belongs to it.


async def test_a_code_is_worth_nothing_without_its_verifier(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)
    before = await contents(node)

    for verifier in (
        None,
        "",
        "w" * 43,
        VERIFIER[:-1],
        VERIFIER + "A",
        VERIFIER.swapcase(),
        VERIFIER + "\n",
        " " + VERIFIER,
        "x" * 42,
        "x" * 129,
        # The challenge itself: what plain would have taken.
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "\u00e4" * 43,
    ):
        assert_json_error(await node.redeem(app, code, code_verifier=verifier), "invalid_grant")

    assert await contents(node) == before
    await assert_still_good(node, app, code)


async def test_a_redirect_uri_that_is_sent_must_be_that_of_the_request(node: Node, person: Person) -> None:
    app = await node.app(redirect_uris=[REDIRECT_URI, "https://app.example/cb2"])
    code = await node.code(app, person)
    before = await contents(node)

    for uri in ("https://app.example/cb2", "https://evil.example/", REDIRECT_URI + "/", REDIRECT_URI + "?"):
        assert_json_error(await node.redeem(app, code, redirect_uri=uri), "invalid_grant")

    assert await contents(node) == before
    # OAuth 2.1 §4.1.3: with PKCE the client need not repeat it.
    await assert_still_good(node, app, code)
    another = await node.code(app, person)
    assert (await node.redeem(app, another, redirect_uri=None)).status_code == 200


async def test_a_stolen_code_is_worth_nothing_in_another_session_of_the_same_app(
    node: Node, app: App, person: Person
) -> None:
    victim_verifier, victim_challenge = new_pkce()
    attackers_verifier, attackers_challenge = new_pkce()
    attacker = await node.person("mallory@example.com")
    await node.code(app, attacker, code_challenge=attackers_challenge)
    code = await node.code(app, person, code_challenge=victim_challenge)

    assert_json_error(await node.redeem(app, code, code_verifier=attackers_verifier), "invalid_grant")

    await assert_still_good(node, app, code, code_verifier=victim_verifier)


async def test_no_altered_code_is_taken_and_the_code_stays_good(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)
    before = await contents(node)
    altered = [code[:-n] for n in range(1, 9)]
    altered += [code + "A", code + "=", " " + code, code + "\n", code.swapcase(), code[::-1], "x", "." * 74]
    altered += [code[:n] + ("A" if code[n] != "A" else "B") + code[n + 1 :] for n in range(0, len(code), 3)]

    for wrong in altered:
        assert_json_error(await node.redeem(app, wrong), "invalid_grant")

    assert await contents(node) == before
    await assert_still_good(node, app, code)


async def test_a_clock_that_runs_ahead_extends_nothing(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)
    node.clock.advance(61)
    assert_json_error(await node.redeem(app, code), "invalid_grant")

    # However the clock jumps: what a lifetime allows is counted from the row.
    tokens = await node.tokens(app, person)
    assert claims_of(tokens["access_token"])["exp"] == int(node.clock().timestamp()) + 900


# The request.


async def test_what_is_missing_is_named_and_nothing_changes(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)
    before = await contents(node)

    assert_json_error(await node.redeem(app, ""), "invalid_request")
    assert_json_error(await node.redeem(app, code, grant_type=None), "invalid_request")
    assert_json_error(await node.redeem(app, code, grant_type=""), "invalid_request")
    assert_json_error(await node.token(app, {"grant_type": "refresh_token"}), "invalid_request")

    assert await contents(node) == before
    await assert_still_good(node, app, code)


async def test_a_request_in_the_address_or_of_another_kind_is_refused(
    node: Node, app: App, person: Person
) -> None:
    code = await node.code(app, person)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    auth = (app.id, app.secret or "")
    before = await contents(node)

    assert_json_error(await node.http.post("/token?x=y", data=form, auth=auth), "invalid_request")
    assert_json_error(await node.http.post("/token", params=form, auth=auth), "invalid_request")
    assert_json_error(await node.http.post("/token", json=form, auth=auth), "invalid_request", status=415)
    multipart = {name: (None, value) for name, value in form.items()}
    assert_json_error(
        await node.http.post("/token", files=multipart, auth=auth), "invalid_request", status=415
    )
    for verb in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        response = await node.http.request(verb, "/token", params=form, auth=auth)
        assert response.status_code == 405
        assert response.headers["allow"] == "OPTIONS, POST"

    assert await contents(node) == before
    await assert_still_good(node, app, code)


async def test_an_unknown_parameter_is_passed_over(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)

    assert (await node.redeem(app, code, extra="foobar", scope="openid")).status_code == 200


async def test_a_public_client_presents_its_name_alone(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="none")
    tokens = await node.tokens(app, person)

    refreshed = await node.refresh(app, tokens["refresh_token"])

    assert refreshed.status_code == 200
    assert refreshed.json()["refresh_token"] != tokens["refresh_token"]


# Resources.


async def test_a_token_is_never_for_more_than_was_granted(node: Node, person: Person) -> None:
    app = await node.app(audiences=[A, B], default_audience=A)
    code = await node.code(app, person, resource=A)
    before = await contents(node)

    for resource in (B, "https://c.example/", A + "#x", "x", A + "/"):
        assert_json_error(await node.redeem(app, code, resource=resource), "invalid_target")

    assert await contents(node) == before
    tokens = (await node.redeem(app, code, resource=A)).json()
    assert claims_of(tokens["access_token"])["aud"] == A
    for resource in (B, ISSUER):
        response = await node.refresh(app, tokens["refresh_token"], resource=resource)
        assert_json_error(response, "invalid_target")
    assert (await node.grant(tokens)).generation == 1
    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


async def test_a_token_may_be_for_one_of_several_resources_that_were_granted(
    node: Node, person: Person
) -> None:
    app = await node.app(audiences=[A, B], default_audience=A)
    tokens = await node.tokens(app, person)
    assert claims_of(tokens["access_token"])["aud"] == [A, ISSUER]

    narrow = (await node.refresh(app, tokens["refresh_token"], resource=A)).json()
    full = (await node.refresh(app, narrow["refresh_token"])).json()

    assert claims_of(narrow["access_token"])["aud"] == A
    assert claims_of(full["access_token"])["aud"] == [A, ISSUER]


async def test_scopes_that_are_malformed_or_wider_are_refused_and_cost_nothing(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person, scope="openid email")

    for scope in ("openid profile", "openid  email", "openid\temail", 'o"', "x" * 5000, "nobody-knows"):
        assert_json_error(await node.refresh(app, tokens["refresh_token"], scope=scope), "invalid_scope")

    assert (await node.grant(tokens)).generation == 1
    assert (await node.refresh(app, tokens["refresh_token"])).json()["scope"] == "openid email"


# Other tokens, other clients.


async def test_neither_code_nor_access_token_nor_id_token_stands_in_for_another(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    before = await contents(node)

    for wrong in (tokens["access_token"], tokens["id_token"], tokens["refresh_token"]):
        assert_json_error(await node.redeem(app, wrong), "invalid_grant")
    for wrong in (tokens["access_token"], tokens["id_token"]):
        assert_json_error(await node.refresh(app, wrong), "invalid_grant")

    assert await contents(node) == before
    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


async def test_no_answer_says_why_a_grant_was_refused(node: Node, app: App, person: Person) -> None:
    other = await node.app()
    code = await node.code(app, person)
    expired = await node.code(app, person)
    node.clock.advance(61)
    fresh = await node.code(app, person)
    used = await node.code(app, person)
    await node.redeem(app, used)

    answers = [
        await node.redeem(app, "x" * 74),
        await node.redeem(app, code),
        await node.redeem(app, expired),
        await node.redeem(app, used),
        await node.redeem(other, fresh),
        await node.redeem(app, fresh, code_verifier="w" * 43),
        await node.redeem(app, fresh, redirect_uri="https://app.example/other"),
    ]

    assert len({answer.text for answer in answers}) == 1
    await assert_still_good(node, app, fresh)


# What is stored.


async def test_no_token_code_secret_or_cookie_is_in_the_database_file(
    node: Node, app: App, person: Person
) -> None:
    code = await node.code(app, person)
    tokens = (await node.redeem(app, code)).json()
    second = (await node.refresh(app, tokens["refresh_token"])).json()
    url = node.provider.settings.database_url
    file = url.removeprefix("sqlite+aiosqlite:///")

    def stored() -> bytes:
        found = b""
        for suffix in ("", "-wal"):
            with open(file + suffix, "rb") as opened:  # noqa: PTH123 - two files of one database
                found += opened.read()
        return found

    dump = stored()
    secrets = [code, VERIFIER, app.secret or "", *person.cookies.values()]
    for answer in (tokens, second):
        secrets += [answer["access_token"], answer["refresh_token"], answer["id_token"]]
    assert len(dump) > 10_000
    for secret in secrets:
        assert secret.encode() not in dump
        # Nor its raw bytes.
        raw = opaque_token.decode(secret)
        assert raw is None or raw not in dump
    # Of a family's tokens, what is secret in all of them: the last 32 bytes hold secret and MAC.
    assert (opaque_token.decode(code) or b"")[-32:-16] not in dump


# Pages of other origins.


async def test_the_apps_own_page_may_read_tokens_and_errors(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="none")
    code = await node.code(app, person)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
        "client_id": app.id,
    }
    origin = {"Origin": "https://app.example"}

    refused = await node.http.post("/token", data=form | {"code_verifier": "w" * 43}, headers=origin)
    given = await node.http.post("/token", data=form, headers=origin)

    assert (refused.status_code, given.status_code) == (400, 200)
    for response in (refused, given):
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert response.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in response.headers


async def test_no_other_page_may_read_a_token(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="none")
    await node.app(redirect_uris=["https://other.example/cb"])
    for origin in (
        "https://evil.example",
        "https://other.example",
        "null",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil",
        "",
    ):
        tokens = await node.tokens(app, person)
        response = await node.http.post(
            "/token",
            data={
                "grant_type": "refresh_token",
                "refresh_token": tokens["refresh_token"],
                "client_id": app.id,
            },
            headers={"Origin": origin},
        )
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers, origin


async def test_a_preflight_is_answered_to_registered_origins_alone(node: Node, app: App) -> None:
    assert app.redirect_uri == REDIRECT_URI
    asked = {"Access-Control-Request-Method": "POST"}

    known = await node.http.options("/token", headers=asked | {"Origin": "https://app.example"})

    assert known.headers["access-control-allow-origin"] == "https://app.example"
    assert known.headers["access-control-allow-methods"] == "POST"
    for origin in ("https://evil.example", "null", ""):
        foreign = await node.http.options("/token", headers=asked | {"Origin": origin})
        assert foreign.status_code == 204
        assert "access-control-allow-origin" not in foreign.headers
        assert "access-control-allow-headers" not in foreign.headers


async def test_the_authorization_endpoint_is_for_no_page_to_read(
    node: Node, app: App, person: Person
) -> None:
    browser = node.browser(person.cookies)
    for path in ("/authorize", "/consent", "/logout"):
        response = await browser.get(
            path, params={"client_id": app.id}, headers={"Origin": "https://app.example"}
        )
        assert "access-control-allow-origin" not in response.headers
    asked = await browser.options("/authorize", headers={"Origin": "https://app.example"})
    assert (asked.status_code, "access-control-allow-origin" in asked.headers) == (405, False)
