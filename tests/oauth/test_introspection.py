"""Asking what a token is good for (RFC 7662, RFC 9701): who may know, and nothing to anyone else."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.clients import registration
from idp.clients.metadata import parse_metadata
from idp.errors import InvalidClientMetadata
from idp.storage import accounts, connections, grants
from tests.support.dpop import ProofKey
from tests.support.node import ISSUER, App, Node, Person, claims_of

API = "https://api.example/"
OTHER_API = "https://other.example/"
INACTIVE = {"active": False}
SIGNED = "application/token-introspection+jwt"


@pytest.fixture
async def app(node: Node) -> App:
    return await node.app(audiences=[API])


@pytest.fixture
async def api(node: Node) -> App:
    return await node.app(client_name="Orders API", grant_types=[], redirect_uris=[], audiences=[API])


async def introspect(node: Node, caller: App, token: str, **headers: str) -> httpx.Response:
    return await node.http.post(
        "/introspect", data={"token": token}, auth=(caller.id, caller.secret or ""), headers=headers
    )


async def answer_of(node: Node, caller: App, token: str) -> dict[str, object]:
    response = await introspect(node, caller, token)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer: dict[str, object] = response.json()
    return answer


async def test_a_client_learns_all_about_its_own_access_token(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    answer = await answer_of(node, app, tokens["access_token"])

    claims = claims_of(tokens["access_token"])
    issued_at = int(node.clock().timestamp())
    assert answer == {
        "active": True,
        "token_type": "Bearer",
        "scope": "openid profile email offline_access",
        "client_id": app.id,
        "sub": person.account_id,
        "aud": [API, ISSUER],
        "iss": ISSUER,
        "iat": issued_at,
        "exp": issued_at + 900,
        "jti": claims["jti"],
        "auth_time": issued_at,
        "acr": "phr",
        "amr": ["swk", "user", "mfa"],
    }


async def test_a_resource_server_learns_about_tokens_that_are_for_it(
    node: Node, app: App, api: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)

    answer = await answer_of(node, api, tokens["access_token"])

    assert (answer["active"], answer["client_id"], answer["aud"]) == (True, app.id, [API, ISSUER])


async def test_a_bound_token_names_its_key(node: Node, app: App, person: Person) -> None:
    key = ProofKey()
    code = await node.code(app, person)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.redirect_uri,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }
    proof = key.proof("POST", f"{ISSUER}/token", now=node.clock())
    tokens = (
        await node.http.post("/token", data=form, auth=(app.id, app.secret or ""), headers={"DPoP": proof})
    ).json()

    answer = await answer_of(node, app, tokens["access_token"])

    assert answer["token_type"] == "DPoP"
    assert answer["cnf"] == claims_of(tokens["access_token"])["cnf"]


async def test_a_client_learns_about_its_own_refresh_token(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    answer = await answer_of(node, app, tokens["refresh_token"])

    issued_at = int(node.clock().timestamp())
    assert answer == {
        "active": True,
        "scope": "openid profile email offline_access",
        "client_id": app.id,
        "sub": person.account_id,
        "aud": ISSUER,
        "iss": ISSUER,
        "iat": issued_at,
        "exp": issued_at + 7 * 86_400,
        "auth_time": issued_at,
        "acr": "phr",
        "amr": ["swk", "user", "mfa"],
    }


async def test_a_refresh_token_is_for_nobody_elses_eyes(
    node: Node, app: App, api: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)

    for stranger in (api, await node.app()):
        assert await answer_of(node, stranger, tokens["refresh_token"]) == INACTIVE


async def test_another_apps_tokens_are_for_nobody_elses_eyes(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    # It may call the same API; that makes it another caller, not the API.
    for stranger in (await node.app(audiences=[API]), await node.app()):
        assert await answer_of(node, stranger, tokens["access_token"]) == INACTIVE


async def test_a_service_that_calls_the_api_is_not_the_api(node: Node, app: App, person: Person) -> None:
    machine = await node.app(grant_types=["client_credentials"], redirect_uris=[], audiences=[API])
    tokens = await node.tokens(app, person)

    assert await answer_of(node, machine, tokens["access_token"]) == INACTIVE


async def test_a_resource_server_sees_no_token_for_another(node: Node, app: App, person: Person) -> None:
    other = await node.app(grant_types=[], redirect_uris=[], audiences=[OTHER_API])
    tokens = await node.tokens(app, person)

    assert await answer_of(node, other, tokens["access_token"]) == INACTIVE


async def test_what_is_no_token_is_inactive(sqlite_node: Node) -> None:
    app = await sqlite_node.app()
    for token in ("x", "a.b.c", "é", "A" * 82, "A" * 60_000):
        assert await answer_of(sqlite_node, app, token) == INACTIVE


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_an_altered_token_is_inactive(node: Node, app: App, person: Person, kind: str) -> None:
    token: str = (await node.tokens(app, person))[kind]

    for altered in (token[:-1], token + "A", token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]):
        assert await answer_of(node, app, altered) == INACTIVE


async def test_a_code_and_an_id_token_are_no_such_tokens(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)

    assert await answer_of(node, app, tokens["id_token"]) == INACTIVE
    assert await answer_of(node, app, await node.code(app, person)) == INACTIVE


@pytest.mark.parametrize(("kind", "seconds"), [("access_token", 900), ("refresh_token", 7 * 86_400)])
async def test_an_expired_token_is_inactive(
    node: Node, app: App, person: Person, kind: str, seconds: int
) -> None:
    token: str = (await node.tokens(app, person))[kind]
    node.clock.advance(seconds - 1)
    assert (await answer_of(node, app, token))["active"] is True
    node.clock.advance(1)
    assert await answer_of(node, app, token) == INACTIVE


async def test_a_rotated_refresh_token_is_inactive(node: Node, app: App, person: Person) -> None:
    first = await node.tokens(app, person)
    second = (await node.refresh(app, first["refresh_token"])).json()

    assert await answer_of(node, app, first["refresh_token"]) == INACTIVE
    assert (await answer_of(node, app, second["refresh_token"]))["active"] is True
    # Asking is not presenting: nothing was reused.
    assert (await node.grant(second)).status == "active"


@pytest.mark.parametrize("ending", ["grant revoked", "person disabled", "consent withdrawn"])
async def test_whatever_ends_the_grant_makes_its_tokens_inactive(
    node: Node, app: App, api: App, person: Person, ending: str
) -> None:
    tokens = await node.tokens(app, person)

    await end(node, app, person, ending, grant_id=(await node.grant(tokens)).id)

    assert await answer_of(node, app, tokens["access_token"]) == INACTIVE
    assert await answer_of(node, app, tokens["refresh_token"]) == INACTIVE
    assert await answer_of(node, api, tokens["access_token"]) == INACTIVE


async def end(node: Node, app: App, person: Person, ending: str, *, grant_id: bytes) -> None:
    transact, now = node.provider.database.transact, node.clock()
    if ending == "grant revoked":
        await transact(grants.revoke, grant_id=grant_id, reason="test", now=now)
    elif ending == "person disabled":
        await transact(accounts.set_status, account_id=person.account_id, status="disabled", now=now)
    else:
        await transact(connections.withdraw, account_id=person.account_id, client_id=app.id, now=now)


async def test_a_disabled_client_ends_its_tokens_and_asks_no_more(
    node: Node, app: App, api: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    await node.provider.database.transact(registration.disable, client_id=app.id, now=node.clock())
    node.clock.advance(1)

    assert await answer_of(node, api, tokens["access_token"]) == INACTIVE
    response = await introspect(node, app, tokens["access_token"])
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.fixture
async def machine(node: Node) -> App:
    return await node.app(
        grant_types=["client_credentials"], redirect_uris=[], scope="reports:read", audiences=[API]
    )


async def own_token(node: Node, machine: App) -> str:
    token: str = (await node.token(machine, {"grant_type": "client_credentials"})).json()["access_token"]
    return token


async def test_a_services_own_token_is_active_without_a_person(node: Node, machine: App, api: App) -> None:
    token = await own_token(node, machine)

    answer = await answer_of(node, api, token)

    issued_at = int(node.clock().timestamp())
    assert answer == {
        "active": True,
        "token_type": "Bearer",
        "scope": "reports:read",
        "client_id": machine.id,
        "sub": machine.id,
        "aud": API,
        "iss": ISSUER,
        "iat": issued_at,
        "exp": issued_at + 900,
        "jti": claims_of(token)["jti"],
    }


async def test_a_services_own_token_that_was_given_back_is_inactive(
    node: Node, machine: App, api: App
) -> None:
    given_back, kept = await own_token(node, machine), await own_token(node, machine)
    await node.http.post("/revoke", data={"token": given_back}, auth=(machine.id, machine.secret or ""))

    assert await answer_of(node, api, given_back) == INACTIVE
    assert (await answer_of(node, api, kept))["active"] is True


async def test_a_services_own_token_does_not_survive_a_pause_of_its_client(
    node: Node, machine: App, api: App
) -> None:
    token = await own_token(node, machine)
    step: Callable[..., Awaitable[object]]
    for step in (registration.disable, registration.enable):
        await node.provider.database.transact(step, client_id=machine.id, now=node.clock())
        node.clock.advance(1)
        assert await answer_of(node, api, token) == INACTIVE
    assert (await answer_of(node, api, await own_token(node, machine)))["active"] is True


async def test_a_public_client_may_not_ask(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="none")
    tokens = await node.tokens(app, person)

    response = await node.http.post(
        "/introspect", data={"token": tokens["access_token"], "client_id": app.id}
    )

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("auth", [None, ("nobody", "x"), ("app", "wrong")])
async def test_who_proves_nothing_may_not_ask(
    node: Node, app: App, person: Person, auth: tuple[str, str] | None
) -> None:
    tokens = await node.tokens(app, person)
    named = (app.id if auth[0] == "app" else auth[0], auth[1]) if auth else None

    response = await node.http.post(
        "/introspect",
        data={"token": tokens["access_token"]},
        auth=named or httpx.USE_CLIENT_DEFAULT,
    )

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert "active" not in response.json()


async def test_a_token_in_the_address_or_twice_or_missing_is_refused(
    node: Node, app: App, person: Person
) -> None:
    token: str = (await node.tokens(app, person))["access_token"]

    in_address = await node.http.post("/introspect", params={"token": token}, auth=(app.id, app.secret or ""))
    twice = await node.http.post(
        "/introspect", data={"token": [token, token]}, auth=(app.id, app.secret or "")
    )
    missing = await node.http.post("/introspect", data={"x": "y"}, auth=(app.id, app.secret or ""))
    asked = await node.http.get("/introspect", params={"token": token}, auth=(app.id, app.secret or ""))

    for response in (in_address, twice, missing):
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert asked.status_code == 405


@pytest.mark.parametrize("accept", [SIGNED, f"application/json, {SIGNED.upper()};q=0.9"])
async def test_a_signed_answer_is_for_the_caller_alone(
    node: Node, app: App, api: App, person: Person, accept: str
) -> None:
    tokens = await node.tokens(app, person)

    response = await introspect(node, api, tokens["access_token"], Accept=accept)

    assert response.headers["content-type"] == SIGNED
    keys = KeySet.import_key_set((await node.http.get("/jwks")).json())
    answer = jwt.decode(response.text, keys, algorithms=["RS256"])
    assert answer.header["typ"] == "token-introspection+jwt"
    # RFC 9701 §5: neither sub nor exp, so that nobody takes it for a token.
    assert answer.claims == {
        "iss": ISSUER,
        "aud": api.id,
        "iat": int(node.clock().timestamp()),
        "token_introspection": await answer_of(node, api, tokens["access_token"]),
    }


async def test_a_signed_answer_about_nothing_tells_nothing(node: Node, app: App) -> None:
    response = await introspect(node, app, "x", Accept=SIGNED)

    assert claims_of(response.text)["token_introspection"] == INACTIVE


@pytest.mark.parametrize("accept", ["*/*", "application/json", f"{SIGNED};q=0", "application/jwt"])
async def test_who_does_not_ask_for_a_signed_answer_gets_json(sqlite_node: Node, accept: str) -> None:
    response = await introspect(sqlite_node, await sqlite_node.app(), "x", Accept=accept)

    assert response.json() == INACTIVE


async def test_a_signed_answer_opens_nothing(node: Node, app: App, api: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    signed = (await introspect(node, api, tokens["access_token"], Accept=SIGNED)).text

    assert (await node.userinfo(signed)).status_code == 401
    assert await answer_of(node, api, signed) == INACTIVE


@pytest.mark.parametrize("audiences", [[], [API]])
async def test_who_gets_no_tokens_is_a_resource_server_or_nothing(audiences: list[str]) -> None:
    values: dict[str, object] = {"client_name": "x", "grant_types": [], "audiences": audiences}
    if audiences:
        values["token_endpoint_auth_method"] = "none"
    with pytest.raises(InvalidClientMetadata, match="resource server"):
        parse_metadata(values)


async def test_a_resource_server_gets_no_tokens(node: Node, api: App) -> None:
    for grant_type in ("client_credentials", "authorization_code", "refresh_token"):
        refused = await node.token(api, {"grant_type": grant_type, "code": "x", "refresh_token": "x"})
        assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")


async def test_the_metadata_name_what_is_offered(node: Node) -> None:
    metadata = (await node.http.get("/.well-known/oauth-authorization-server")).json()

    assert metadata["introspection_endpoint"] == f"{ISSUER}/introspect"
    assert metadata["revocation_endpoint"] == f"{ISSUER}/revoke"
    assert metadata["introspection_signing_alg_values_supported"] == ["RS256"]
    assert "none" not in metadata["introspection_endpoint_auth_methods_supported"]
    assert "none" in metadata["revocation_endpoint_auth_methods_supported"]
