from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.node import (
    ISSUER,
    REDIRECT_URI,
    App,
    Node,
    Person,
    claims_of,
    header_of,
    location_parameters,
)


async def test_a_person_gets_to_the_app_with_code_state_and_issuer(
    node: Node, app: App, person: Person
) -> None:
    response = await node.allow(app, person)

    assert response.status_code == 303
    assert response.headers["location"].startswith(REDIRECT_URI + "?")
    answer = location_parameters(response)
    assert set(answer) == {"code", "state", "iss"}
    assert answer["state"] == "s-1"
    assert answer["iss"] == ISSUER


async def test_a_code_becomes_tokens_that_another_library_verifies(
    node: Node, app: App, person: Person
) -> None:
    response = await node.redeem(app, await node.code(app, person))

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 900
    keys = KeySet.import_key_set((await node.http.get("/jwks")).json())
    access = jwt.decode(answer["access_token"], keys, algorithms=["RS256"])
    assert access.header["typ"] == "at+jwt"
    assert access.claims["iss"] == ISSUER
    assert access.claims["sub"] == person.account_id
    assert access.claims["client_id"] == app.id
    assert access.claims["exp"] - access.claims["iat"] == 900
    identity = jwt.decode(answer["id_token"], keys, algorithms=["RS256"])
    assert identity.claims["aud"] == app.id
    assert identity.claims["nonce"] == "n-1"
    assert identity.claims["amr"] == ["swk", "user", "mfa"]
    assert "name" not in identity.claims
    assert header_of(answer["id_token"])["kid"]


async def test_userinfo_releases_claims_by_scope(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person, scope="openid email")

    response = await node.userinfo(tokens["access_token"])

    assert response.json() == {
        "sub": person.account_id,
        "email": "ada@example.com",
        "email_verified": True,
    }


async def test_refreshing_gives_new_tokens_of_the_same_sign_in(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    node.clock.advance(60)

    second = (await node.refresh(app, first["refresh_token"])).json()

    assert second["refresh_token"] != first["refresh_token"]
    before, after = claims_of(first["id_token"]), claims_of(second["id_token"])
    for name in ("iss", "sub", "aud", "auth_time", "sid"):
        assert before[name] == after[name]
    assert after["iat"] == before["iat"] + 60
    assert "nonce" not in after


async def test_consent_is_remembered_for_the_client_and_its_scopes(
    node: Node, app: App, person: Person
) -> None:
    await node.allow(app, person, scope="openid")

    again = await node.authorize(app, person, scope="openid")
    more = await node.authorize(app, person, scope="openid email")

    assert "code" in location_parameters(again)
    assert more.headers["location"].startswith("/consent?request=")


async def test_a_first_party_app_is_not_asked_about(node: Node, person: Person) -> None:
    app = await node.app(first_party=True)

    response = await node.authorize(app, person)

    assert "code" in location_parameters(response)
