"""What a client is told about a person: by scope, claim by claim, in which words about the sign-in."""

import json
from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.accounts import person as people
from idp.keys.rotation import generate_key, rotate_now
from idp.keys.timetable import Timetable
from idp.oauth.authorization import acr
from tests.support.answers import assert_bearer_error, assert_redirected_error, contents
from tests.support.node import (
    ISSUER,
    MASTER_KEY,
    App,
    Node,
    Person,
    claims_of,
    header_of,
    location_parameters,
)
from tests.support.pages import open_consent

PROFILE = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "middle_name": "Augusta",
    "nickname": "Countess",
    "preferred_username": "ada",
    "profile": "https://ada.example/",
    "picture": "https://ada.example/ada.jpg",
    "website": "https://blog.ada.example/",
    "gender": "female",
    "birthdate": "1815-12-10",
    "zoneinfo": "Europe/London",
    "locale": "en-GB",
    "phone_number": "+442071838750",
    "address.locality": "London",
    "address.country": "GB",
}
SCOPE = "openid profile email address phone offline_access"
RANKING = ("presence", "phr", "phrh")


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app(scope=SCOPE)


@pytest.fixture
async def person(node: Node) -> Person:
    known = await node.person()
    await node.provider.database.transact(
        people.change, account_id=known.account_id, name=None, claims=PROFILE, now=node.clock()
    )
    return known


async def told(node: Node, app: App, person: Person, **parameters: str) -> tuple[set[str], set[str]]:
    """Name the claims at UserInfo and in the ID Token."""
    tokens = await node.tokens(app, person, **parameters)
    userinfo = await node.userinfo(tokens["access_token"])
    assert userinfo.status_code == 200, userinfo.text
    return set(userinfo.json()), set(claims_of(tokens["id_token"]))


def wish(**claims: object) -> str:
    return json.dumps(claims)


ID_TOKEN = {"iss", "sub", "aud", "iat", "exp", "auth_time", "acr", "amr", "at_hash", "sid", "nonce"}


@pytest.mark.parametrize(
    ("scope", "released"),
    [
        ("openid", set()),
        (
            "openid profile",
            {name for name in PROFILE if "." not in name and name != "phone_number"} | {"name", "updated_at"},
        ),
        ("openid email", {"email", "email_verified"}),
        ("openid address", {"address"}),
        ("openid phone", {"phone_number", "phone_number_verified"}),
    ],
)
async def test_a_scope_releases_its_claims_at_userinfo_alone(
    node: Node, app: App, person: Person, scope: str, released: set[str]
) -> None:
    at_userinfo, in_id_token = await told(node, app, person, scope=scope)
    assert at_userinfo == {"sub"} | released
    assert in_id_token == ID_TOKEN


async def test_what_nobody_knows_of_a_person_is_left_out(node: Node, app: App) -> None:
    nobody = await node.person("grace@example.com")
    at_userinfo, _ = await told(node, app, nobody, scope="openid profile address phone")
    assert at_userinfo == {"sub", "name", "updated_at"}


async def test_claims_asked_for_one_by_one_are_told_where_they_were_asked_for(
    node: Node, app: App, person: Person
) -> None:
    claims = wish(
        userinfo={"name": {"essential": True}, "phone_number": None},
        id_token={"email": None, "auth_time": {"essential": True}},
    )
    at_userinfo, in_id_token = await told(node, app, person, scope="openid", claims=claims)
    assert at_userinfo == {"sub", "name", "phone_number"}
    assert in_id_token == {*ID_TOKEN, "email"}


async def test_claims_asked_for_one_by_one_survive_refreshing(node: Node, app: App, person: Person) -> None:
    claims = wish(userinfo={"name": None}, id_token={"locale": None})
    first = await node.tokens(app, person, scope="openid offline_access", claims=claims)
    refreshed = (await node.refresh(app, first["refresh_token"])).json()
    assert claims_of(refreshed["id_token"])["locale"] == "en-GB"
    assert (await node.userinfo(refreshed["access_token"])).json() == {
        "sub": person.account_id,
        "name": "Ada Lovelace",
    }


async def test_a_claim_in_the_id_token_never_displaces_one_of_the_protocol(
    node: Node, app: App, person: Person
) -> None:
    claims = wish(id_token=dict.fromkeys((*ID_TOKEN, "updated_at")))
    tokens = await node.tokens(app, person, scope="openid", claims=claims)
    identity = claims_of(tokens["id_token"])
    assert (identity["iss"], identity["sub"], identity["aud"]) == (ISSUER, person.account_id, app.id)


async def test_a_person_is_asked_about_claims_as_about_scopes(node: Node, app: App, person: Person) -> None:
    await node.tokens(app, person, scope="openid")
    claims = wish(id_token={"email": None})
    silent = await node.authorize(app, person, scope="openid", claims=claims, prompt="none")
    assert_redirected_error(silent, "consent_required")

    page = await open_consent(node, app, person, scope="openid", claims=claims)
    assert "See your e-mail address" in page.response.text
    await page.press("allow")
    assert "code" in location_parameters(await page.go_on())
    again = await node.authorize(app, person, scope="openid", claims=claims, prompt="none")
    assert "code" in location_parameters(again)


async def test_a_denied_claim_is_not_told(node: Node, app: App, person: Person) -> None:
    page = await open_consent(node, app, person, scope="openid", claims=wish(userinfo={"email": None}))
    await page.press("deny")
    assert_redirected_error(await page.go_on(), "access_denied")


async def test_claims_of_a_scope_that_the_client_is_not_registered_for_are_passed_over(
    node: Node, person: Person
) -> None:
    narrow = await node.app(scope="openid email")
    claims = wish(userinfo={"phone_number": {"essential": True}, "email": None}, id_token={"birthdate": None})
    at_userinfo, in_id_token = await told(node, narrow, person, scope="openid", claims=claims)
    assert at_userinfo == {"sub", "email"}
    assert in_id_token == ID_TOKEN


async def test_plain_oauth_has_no_claims(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person, scope="email", claims=wish(userinfo={"name": None}))
    assert "id_token" not in tokens
    assert_bearer_error(await node.userinfo(tokens["access_token"]), "insufficient_scope", status=403)
    assert (await node.grant(tokens)).claims is None


async def test_members_that_are_not_understood_are_passed_over(node: Node, app: App, person: Person) -> None:
    claims = wish(
        verified_claims={"claims": 1},
        userinfo={
            "name#ja-Kana-JP": None,
            "shoe_size": {"essential": True, "values": [1, 2]},
            "name": {"x": 1},
        },
        id_token=None,
    )
    at_userinfo, in_id_token = await told(node, app, person, scope="openid", claims=claims)
    assert at_userinfo == {"sub", "name"}
    assert in_id_token == ID_TOKEN


@pytest.mark.parametrize(
    "claims",
    [
        "name",
        "[]",
        "null",
        '{"userinfo":[]}',
        '{"userinfo":"name"}',
        '{"id_token":{"name":true}}',
        '{"id_token":{"name":{"essential":"yes"}}}',
        '{"id_token":{"acr":{"values":"phr"}}}',
        '{"id_token":{"acr":{"values":[1]}}}',
        '{"id_token":{"sub":{"value":1}}}',
        '{"userinfo":{"name":null},"userinfo":{"email":null}}',
        '{"userinfo":{"name":{"essential":true,"essential":false}}}',
        '{"userinfo":{"name":{"value":NaN}}}',
        '{"userinfo":{"name":null}} trailing',
        '{"userinfo":{"x":' + "[" * 100 + "]" * 100 + "}}",
        '{"userinfo":{"acr":{"values":[' + '"x",' * 50 + '"x"]}}}',
        '{"userinfo":{"name":null}' + " " * 9000 + "}",
        '{"userinfo":{"name":{"value":"\\ud800"}}}',
    ],
)
async def test_a_claims_parameter_that_is_not_one_is_refused(
    node: Node, app: App, person: Person, claims: str
) -> None:
    before = await contents(node)
    assert_redirected_error(await node.authorize(app, person, claims=claims), "invalid_request")
    assert await contents(node) == before


@pytest.mark.parametrize("place", ["id_token", "userinfo"])
async def test_a_request_about_one_person_is_never_answered_with_another(
    node: Node, app: App, person: Person, place: str
) -> None:
    await node.tokens(app, person)
    mine = json.dumps({place: {"sub": {"value": person.account_id}}})
    assert "code" in location_parameters(await node.authorize(app, person, claims=mine, prompt="none"))

    another = json.dumps({place: {"sub": {"value": "somebody-else"}}})
    silent = await node.authorize(app, person, claims=another, prompt="none")
    assert_redirected_error(silent, "login_required")
    asked = await node.authorize(app, person, claims=another)
    assert asked.headers["location"].startswith("/login?request=")
    # The person proves, again, to be the one that the request is not about.
    node.clock.advance(1)
    await node.sign_in(person)
    after = await node.browser(person.cookies).get(asked.headers["location"].replace("/login", "/authorize"))
    assert_redirected_error(after, "login_required")


async def test_one_of_several_people_will_do(node: Node, app: App, person: Person) -> None:
    await node.tokens(app, person)
    claims = wish(id_token={"sub": {"values": ["somebody-else", person.account_id]}})
    assert "code" in location_parameters(await node.authorize(app, person, claims=claims, prompt="none"))


async def test_a_request_about_two_people_at_once_is_refused(node: Node, app: App, person: Person) -> None:
    hint = (await node.tokens(app, person))["id_token"]
    about_two = wish(id_token={"sub": {"value": "a"}}, userinfo={"sub": {"value": "b"}})
    assert_redirected_error(await node.authorize(app, person, claims=about_two), "invalid_request")
    another = wish(id_token={"sub": {"value": "somebody-else"}})
    response = await node.authorize(app, person, claims=another, id_token_hint=hint)
    assert_redirected_error(response, "invalid_request")


async def test_an_essential_acr_that_was_reached_is_told_in_the_words_of_the_request(
    node: Node, app: App, person: Person
) -> None:
    for asked, expected in ((["phr"], "phr"), (["phrh", "phr"], "phr"), (["presence"], "presence")):
        claims = wish(id_token={"acr": {"essential": True, "values": asked}})
        tokens = await node.tokens(app, person, claims=claims)
        assert claims_of(tokens["id_token"])["acr"] == expected
        assert claims_of(tokens["access_token"])["acr"] == expected


async def test_an_essential_acr_that_is_not_reached_is_signed_in_for_and_then_refused(
    node: Node, app: App, person: Person
) -> None:
    await node.tokens(app, person)
    claims = wish(id_token={"acr": {"essential": True, "value": "phrh"}})
    silent = await node.authorize(app, person, claims=claims, prompt="none")
    assert_redirected_error(silent, "login_required")
    asked = await node.authorize(app, person, claims=claims)
    assert asked.headers["location"].startswith("/login?request=")
    node.clock.advance(1)
    await node.sign_in(person)
    after = await node.browser(person.cookies).get(asked.headers["location"].replace("/login", "/authorize"))
    assert_redirected_error(after, "unmet_authentication_requirements")


async def test_an_essential_acr_that_is_not_offered_troubles_nobody(
    node: Node, app: App, person: Person
) -> None:
    claims = wish(id_token={"acr": {"essential": True, "values": ["urn:mace:incommon:iap:silver"]}})
    response = await node.authorize(app, person, claims=claims)
    assert_redirected_error(response, "unmet_authentication_requirements")


@pytest.mark.parametrize(
    "parameters",
    [
        {"acr_values": "urn:mace:incommon:iap:silver phrh"},
        {"claims": '{"id_token":{"acr":{"values":["urn:mace:incommon:iap:silver","phrh"]}}}'},
        {"claims": '{"id_token":{"acr":{"essential":true}}}'},
    ],
)
async def test_a_voluntary_acr_that_was_not_reached_is_no_error_and_no_lie(
    node: Node, app: App, person: Person, parameters: dict[str, str]
) -> None:
    tokens = await node.tokens(app, person, **parameters)
    assert claims_of(tokens["id_token"])["acr"] == "phr"


@pytest.mark.parametrize(
    ("session", "asked", "expected"),
    [
        ("phrh", (), "phrh"),
        ("phrh", ("phr",), "phr"),
        ("phrh", ("phr", "phrh"), "phrh"),
        ("phrh", ("presence", "phr"), "phr"),
        ("presence", ("phr", "phrh"), "presence"),
        ("phr", ("0", "1"), "phr"),
        ("of an older release", ("phr",), "of an older release"),
    ],
)
def test_the_acr_told_is_always_one_that_the_sign_in_reached(
    session: str, asked: tuple[str, ...], expected: str
) -> None:
    assert acr.told(session, asked=asked, ranking=RANKING) == expected


async def test_a_hint_counts_after_it_expired_and_its_key_retired(
    node: Node, app: App, person: Person
) -> None:
    hint = (await node.tokens(app, person))["id_token"]
    timetable = Timetable.from_settings(node.provider.settings)
    fresh = generate_key(rsa_bits=2048, master_key=MASTER_KEY)
    await node.provider.database.transact(rotate_now, fresh=fresh, timetable=timetable, now=node.clock())
    node.clock.advance(timetable.publish_lead + timetable.stay + timedelta(hours=1))
    await node.provider.keyring.reload(now=node.clock())
    published = {key["kid"] for key in (await node.http.get("/jwks")).json()["keys"]}
    assert header_of(hint)["kid"] not in published
    await node.sign_in(person)

    response = await node.authorize(app, person, id_token_hint=hint, prompt="none")
    assert "code" in location_parameters(response)
    other = await node.person("grace@example.com")
    await node.tokens(app, other)
    response = await node.authorize(app, other, id_token_hint=hint, prompt="none")
    assert_redirected_error(response, "login_required")


async def test_a_client_may_have_userinfo_signed(node: Node, person: Person) -> None:
    signed = await node.app(userinfo_signed_response_alg="RS256")
    tokens = await node.tokens(signed, person, scope="openid email")
    response = await node.userinfo(tokens["access_token"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/jwt"
    assert response.headers["cache-control"] == "no-store"
    keys = KeySet.import_key_set((await node.http.get("/jwks")).json())
    token = jwt.decode(response.text, keys, algorithms=["RS256"])
    assert token.claims == {
        "sub": person.account_id,
        "email": "ada@example.com",
        "email_verified": True,
        "iss": ISSUER,
        "aud": signed.id,
        "iat": int(node.clock().timestamp()),
    }


async def test_signed_userinfo_is_no_id_token_and_no_access_token(node: Node, person: Person) -> None:
    signed = await node.app(userinfo_signed_response_alg="RS256")
    tokens = await node.tokens(signed, person)
    userinfo = (await node.userinfo(tokens["access_token"])).text
    hinted = await node.authorize(signed, person, id_token_hint=userinfo, prompt="none")
    assert_redirected_error(hinted, "invalid_request")
    assert_bearer_error(await node.userinfo(userinfo), "invalid_token", status=401)
