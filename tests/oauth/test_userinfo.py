"""Who a token is about: in every way that it may be asked, and in none that it may not."""

import base64
import hmac
import json
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import RSAKey

from idp.clients import registration
from idp.storage import accounts, connections
from tests.support.answers import assert_bearer_error, contents
from tests.support.node import ISSUER, App, Node, Person, claims_of, header_of, running_node

API = "https://api.example/"
CLAIMS = {"sub", "name", "updated_at", "email", "email_verified"}


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def token(node: Node, app: App, person: Person) -> str:
    return str((await node.tokens(app, person))["access_token"])


def segment(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def ask(node: Node, token: str) -> httpx.Response:
    return await node.userinfo(token)


async def assert_invalid(node: Node, token: str) -> None:
    response = await node.http.get(
        "/userinfo", headers=[(b"Authorization", f"Bearer {token}".encode("utf-8", "surrogateescape"))]
    )
    assert_bearer_error(response, "invalid_token", status=401)


# How it is asked.


async def test_the_token_may_come_by_get_by_post_and_in_the_body(node: Node, token: str) -> None:
    header = {"Authorization": f"Bearer {token}"}

    answers = [
        await node.http.get("/userinfo", headers=header),
        await node.http.post("/userinfo", headers=header),
        await node.http.post("/userinfo", data={"access_token": token}),
        await node.http.get("/userinfo", headers={"Authorization": f"bearer {token}"}),
        await node.http.post("/userinfo", headers=header, data={"other": "x"}),
    ]

    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == answers[0].json()
        assert set(answer.json()) == CLAIMS


async def test_a_request_without_a_token_is_told_the_scheme_and_no_error(node: Node) -> None:
    for response in (
        await node.http.get("/userinfo"),
        await node.http.post("/userinfo"),
        await node.http.post("/userinfo", data={"other": "x"}),
        await node.http.post("/userinfo", data={"access_token": ""}),
    ):
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == f'Bearer realm="{ISSUER}"'
        assert response.content == b""


async def test_a_token_in_the_address_is_refused(node: Node, token: str) -> None:
    header = {"Authorization": f"Bearer {token}"}
    for response in (
        await node.http.get("/userinfo", params={"access_token": token}),
        await node.http.get("/userinfo", params={"access_token": token}, headers=header),
        await node.http.post("/userinfo", params={"access_token": token}),
        await node.http.post("/userinfo", params={"access_token": "x"}, headers=header),
    ):
        assert_bearer_error(response, "invalid_request", status=400)

    assert (await ask(node, token)).status_code == 200


async def test_a_token_in_two_places_is_refused(node: Node, token: str) -> None:
    one = (b"Authorization", f"Bearer {token}".encode())
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    twice = await node.http.get("/userinfo", headers=[one, one])
    both = await node.http.post(
        "/userinfo", headers={"Authorization": f"Bearer {token}"}, data={"access_token": token}
    )
    repeated = await node.http.post(
        "/userinfo", content=f"access_token={token}&access_token={token}", headers=form
    )

    for response in (twice, both, repeated):
        assert_bearer_error(response, "invalid_request", status=400)
    assert (await ask(node, token)).status_code == 200


async def test_another_kind_of_body_or_scheme_is_refused(node: Node, app: App, token: str) -> None:
    json_body = await node.http.post("/userinfo", json={"access_token": token})
    multipart = await node.http.post("/userinfo", files={"access_token": (None, token)})
    basic = await node.http.get("/userinfo", auth=(app.id, app.secret or ""))

    assert (json_body.status_code, multipart.status_code) == (415, 415)
    assert_bearer_error(basic, "invalid_token", status=401)


async def test_other_verbs_are_not_allowed(node: Node, token: str) -> None:
    for verb in ("PUT", "DELETE", "PATCH"):
        response = await node.http.request(verb, "/userinfo", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 405


# What is told.


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("openid", {"sub"}),
        ("openid profile", {"sub", "name", "updated_at"}),
        ("openid email", {"sub", "email", "email_verified"}),
        ("openid offline_access", {"sub"}),
        ("email openid profile", CLAIMS),
    ],
)
async def test_claims_are_released_by_scope_and_well_typed(
    node: Node, app: App, person: Person, scope: str, expected: set[str]
) -> None:
    tokens = await node.tokens(app, person, scope=scope)

    claims = (await ask(node, tokens["access_token"])).json()

    assert set(claims) == expected
    assert claims["sub"] == claims_of(tokens["id_token"])["sub"] == person.account_id
    types = {"updated_at": int, "email_verified": bool}
    for name, value in claims.items():
        assert type(value) is types.get(name, str)


async def test_an_address_nobody_verified_is_said_to_be_so(node: Node, app: App) -> None:
    person = await node.person("grace@example.com", verified=False)
    tokens = await node.tokens(app, person)

    claims = (await ask(node, tokens["access_token"])).json()

    assert (claims["email"], claims["email_verified"]) == ("grace@example.com", False)


async def test_a_token_without_openid_is_insufficient(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person, scope="profile email")
    assert "id_token" not in tokens

    assert_bearer_error(await ask(node, tokens["access_token"]), "insufficient_scope", status=403)


async def test_a_token_narrowed_on_refresh_tells_less(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    narrow = (await node.refresh(app, tokens["refresh_token"], scope="openid")).json()
    none = (await node.refresh(app, narrow["refresh_token"], scope="email")).json()

    assert set((await ask(node, narrow["access_token"])).json()) == {"sub"}
    assert_bearer_error(await ask(node, none["access_token"]), "insufficient_scope", status=403)


async def test_a_token_for_an_api_alone_tells_nothing_here(node: Node, person: Person) -> None:
    app = await node.app(audiences=[API])
    for_both = await node.tokens(app, person)
    for_api = await node.tokens(app, person, resource=API)
    narrowed = (await node.refresh(app, for_both["refresh_token"], resource=API)).json()
    for_us = (await node.refresh(app, narrowed["refresh_token"], resource=ISSUER)).json()

    assert claims_of(for_both["access_token"])["aud"] == [API, ISSUER]
    assert (await ask(node, for_both["access_token"])).status_code == 200
    assert claims_of(for_api["access_token"])["aud"] == API
    await assert_invalid(node, for_api["access_token"])
    assert claims_of(narrowed["access_token"])["aud"] == API
    await assert_invalid(node, narrowed["access_token"])
    assert claims_of(for_us["access_token"])["aud"] == ISSUER
    assert (await ask(node, for_us["access_token"])).status_code == 200


# When it is over.


async def test_a_token_is_good_to_the_second(node: Node, token: str) -> None:
    node.clock.advance(899)
    assert (await ask(node, token)).status_code == 200
    node.clock.advance(1)

    await assert_invalid(node, token)


async def test_a_token_of_the_future_is_refused(node: Node, token: str) -> None:
    node.clock.advance(-60)

    await assert_invalid(node, token)


async def test_a_code_used_twice_ends_the_access_token_too(node: Node, app: App, person: Person) -> None:
    code = await node.code(app, person)
    tokens = (await node.redeem(app, code)).json()
    assert (await ask(node, tokens["access_token"])).status_code == 200

    await node.redeem(app, code)

    await assert_invalid(node, tokens["access_token"])


@pytest.mark.parametrize(
    "end", ["disabled person", "deleted person", "disabled app", "deleted app", "consent"]
)
async def test_a_token_ends_with_person_app_and_consent_on_every_node(
    node: Node, app: App, person: Person, tmp_path: Path, end: str
) -> None:
    settings = node.provider.settings
    token = (await node.tokens(app, person))["access_token"]
    code = await node.code(app, person)
    async with running_node(settings.database_url, node.clock, tmp_path) as second:
        assert (await ask(second, token)).status_code == 200
        database = node.provider.database
        if end.endswith("person"):
            await database.transact(
                accounts.set_status,
                account_id=person.account_id,
                status=end.split(maxsplit=1)[0],
                now=node.clock(),
            )
        elif end == "disabled app":
            await database.transact(registration.disable, client_id=app.id, now=node.clock())
        elif end == "deleted app":
            await database.transact(registration.delete, client_id=app.id, now=node.clock())
        else:
            await database.transact(
                connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
            )
        node.clock.advance(1)

        for each in (node, second):
            await assert_invalid(each, token)
            assert (await each.redeem(app, code)).json()["error"] in {"invalid_grant", "invalid_client"}


# What is no access token of ours.


async def test_other_tokens_are_no_access_tokens(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    code = await node.code(app, person)

    for other in (tokens["id_token"], tokens["refresh_token"], code, "x", "..", "e30.e30.e30", "\u00fc", " "):
        await assert_invalid(node, other)

    assert (await ask(node, tokens["access_token"])).status_code == 200
    assert (await node.redeem(app, code)).status_code == 200


async def test_no_change_to_a_token_is_accepted(node: Node, token: str) -> None:
    header, payload, signature = token.split(".")
    claims = claims_of(token)
    before = await contents(node)

    changed = [
        f"{header}.{payload}.{signature[:-1]}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{signature}A",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}=.{payload}.{signature}",
        f"{header} .{payload}.{signature}",
        f"{header}.{payload}\n.{signature}",
        f"{header}.{segment(claims | {'sub': 'another'})}.{signature}",
        f"{header}.{segment(claims | {'exp': claims['exp'] + 1})}.{signature}",
        f"{header}.{segment({})}.{signature}",
        f"{header}..{signature}",
        f"{token} {token}",
        token.swapcase(),
        token + "x" * 20_000,
    ]
    # The last character of a signature of 256 bytes has four spare bits.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    position = alphabet.index(signature[-1])
    changed += [f"{header}.{payload}.{signature[:-1]}{alphabet[position ^ spare]}" for spare in (1, 2, 3)]

    for wrong in changed:
        await assert_invalid(node, wrong)
    assert await contents(node) == before
    assert (await ask(node, token)).status_code == 200


async def test_no_header_but_ours_is_accepted(node: Node, token: str) -> None:
    _, payload, signature = token.split(".")
    header = header_of(token)
    attacker = RSAKey.generate_key(2048)
    bomb = "e30." + "A" * 100 + "." + "A" * 16 + "." + "A" * 5000 + "." + "A" * 22
    wrong_headers: tuple[dict[str, object], ...] = (
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"alg": "HS256"},
        {"typ": "JWT"},
        {"typ": "at+JWT"},
        {"typ": "application/at+jwt"},
        {"crit": ["x"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"jwk": attacker.as_dict(private=False)},
        {"jku": "http://127.0.0.1:9/"},
        {"x5u": "http://127.0.0.1:9/"},
        {"x5c": ["MIIB"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"kid": "../../x"},
        {"kid": "' OR 1=1 --"},
        {"kid": "x\x00"},
        {"kid": "k" * 10_000},
        {"kid": ["x"]},
        {"kid": 1},
        {"kid": None},
        {"kid": ""},
    )
    for changes in wrong_headers:
        await assert_invalid(node, f"{segment(header | changes)}.{payload}.{signature}")
        await assert_invalid(node, f"{segment(header | changes)}.{payload}.")
    for raw in (
        json.dumps(header)[:-1].encode() + b',"alg":"RS256"}',
        b'{"alg":"none",' + json.dumps(header).encode()[1:],
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 5000,
    ):
        await assert_invalid(node, f"{segment(raw)}.{payload}.{signature}")
    await assert_invalid(node, bomb)
    assert (await ask(node, token)).status_code == 200


async def test_the_public_key_is_no_secret_to_sign_with(node: Node, token: str) -> None:
    jwks = (await node.http.get("/jwks")).json()
    public_key = RSAKey.import_key(jwks["keys"][0]).public_key
    _, payload, _ = token.split(".")
    spellings = [
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public_key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        json.dumps(jwks["keys"][0]).encode(),
        jwks["keys"][0]["n"].encode(),
        b"",
    ]
    for secret in spellings:
        for header in (header_of(token) | {"alg": "HS256"}, header_of(token)):
            signing_input = f"{segment(header)}.{payload}"
            signature = segment(hmac.digest(secret, signing_input.encode(), "sha256"))
            await assert_invalid(node, f"{signing_input}.{signature}")


async def test_a_token_signed_by_another_key_is_refused_whatever_it_says(node: Node, token: str) -> None:
    attacker = RSAKey.import_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    header = header_of(token)

    headers: tuple[dict[str, object], ...] = (
        {},
        {"jwk": attacker.as_dict(private=False)},
        {"kid": attacker.thumbprint()},
    )
    for changes in headers:
        forged = joserfc_jwt.encode(header | changes, claims_of(token), attacker, algorithms=["RS256"])
        await assert_invalid(node, forged)
    for n in range(200):
        await assert_invalid(node, joserfc_jwt.encode(header | {"kid": f"k{n}"}, {}, attacker))
    assert (await ask(node, token)).status_code == 200


# Pages of other origins.


async def test_the_apps_own_page_may_read_answers_and_errors(node: Node, app: App, token: str) -> None:
    assert app.redirect_uri.startswith("https://app.example/")
    origin = {"Origin": "https://app.example"}
    for headers, status in (
        ({"Authorization": f"Bearer {token}"}, 200),
        ({"Authorization": "Bearer x"}, 401),
        ({}, 401),
    ):
        response = await node.http.get("/userinfo", headers=headers | origin)

        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert response.headers["vary"] == "Origin"
        assert "WWW-Authenticate" in response.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in response.headers


async def test_no_other_page_may_read_an_answer(node: Node, app: App, person: Person, token: str) -> None:
    await node.app(redirect_uris=["https://other.example/cb"])
    for origin in ("https://evil.example", "null", "https://app.example.evil", "http://app.example", "x", ""):
        for headers in ({"Authorization": f"Bearer {token}"}, {"Authorization": "Bearer x"}):
            response = await node.http.get("/userinfo", headers=headers | {"Origin": origin})
            assert "access-control-allow-origin" not in response.headers, origin
    # Another app's page may read that a token is no good, and nothing about anyone.
    anothers = {"Origin": "https://other.example"}
    good = await node.http.get("/userinfo", headers=anothers | {"Authorization": f"Bearer {token}"})
    bad = await node.http.get("/userinfo", headers=anothers | {"Authorization": "Bearer x"})
    assert "access-control-allow-origin" not in good.headers
    assert bad.headers["access-control-allow-origin"] == "https://other.example"
    assert person.email not in bad.text
    assert app.id not in bad.text


async def test_a_preflight_is_answered_to_registered_origins_alone(node: Node, app: App) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    assert app.redirect_uri.startswith("https://app.example/")

    known = await node.http.options("/userinfo", headers=asked | {"Origin": "https://app.example"})
    assert known.status_code == 204
    assert known.headers["access-control-allow-origin"] == "https://app.example"
    assert known.headers["access-control-allow-methods"] == "GET, POST"
    assert "Authorization" in known.headers["access-control-allow-headers"]
    for origin in ("https://evil.example", "null", "https://app.example:8443", ""):
        foreign = await node.http.options("/userinfo", headers=asked | {"Origin": origin})
        assert foreign.status_code == 204
        assert "access-control-allow-origin" not in foreign.headers
