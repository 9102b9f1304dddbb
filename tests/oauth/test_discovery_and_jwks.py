"""What the provider says of itself, and its keys: examined by other libraries."""

from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]  # has no types
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator  # type: ignore[import-untyped]  # has no types
from authlib.oidc import rpinitiated  # type: ignore[import-untyped]  # has no types
from authlib.oidc.discovery import OpenIDProviderMetadata  # type: ignore[import-untyped]  # has no types
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from idp.keys.rotation import generate_key, retire_now
from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, MASTER_KEY, App, Node, Person, header_of, running_node

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
DOCUMENTS = (OPENID, OAUTH, "/jwks")
Metadata = dict[str, Any]  # Any: what JSON holds.


@pytest.fixture
def node(sqlite_node: Node) -> Node:
    return sqlite_node


async def metadata(node: Node) -> Metadata:
    found: Metadata = (await node.http.get(OPENID)).json()
    return found


# Metadata.


async def test_another_library_finds_nothing_wrong_with_the_metadata(node: Node) -> None:
    found = await metadata(node)

    OpenIDProviderMetadata(found).validate(metadata_classes=[rpinitiated.OpenIDProviderMetadata])
    AuthorizationServerMetadata((await node.http.get(OAUTH)).json()).validate()


async def test_both_addresses_say_the_same(node: Node) -> None:
    assert (await node.http.get(OAUTH)).content == (await node.http.get(OPENID)).content


async def test_the_metadata_names_what_works(node: Node) -> None:
    found = await metadata(node)

    assert found["issuer"] == ISSUER
    assert found["response_types_supported"] == ["code"]
    assert found["response_modes_supported"] == ["query", "form_post"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["subject_types_supported"] == ["public"]
    assert {"openid", "profile", "email", "offline_access"} <= set(found["scopes_supported"])
    assert {"authorization_code", "refresh_token"} <= set(found["grant_types_supported"])
    assert {"client_secret_basic", "client_secret_post", "none"} <= set(
        found["token_endpoint_auth_methods_supported"]
    )
    assert found["prompt_values_supported"] == ["none", "login", "consent", "select_account", "create"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["request_parameter_supported"] is False
    # OIDC Discovery §3: absent would mean true.
    assert found["request_uri_parameter_supported"] is False


async def test_every_endpoint_that_is_named_is_there_and_is_ours(node: Node) -> None:
    found = await metadata(node)
    endpoints = {
        name: address for name, address in found.items() if name.endswith("_endpoint") or name == "jwks_uri"
    }

    assert {"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} <= set(endpoints)
    for name, address in endpoints.items():
        assert address.startswith(ISSUER + "/"), name
        assert (await node.http.request("TRACE", address)).status_code == 405, name


async def test_what_is_not_offered_is_neither_named_nor_there(node: Node) -> None:
    found = await metadata(node)

    for name in (
        "registration_endpoint",
        "check_session_iframe",
        "device_authorization_endpoint",
        "backchannel_authentication_endpoint",
        "request_object_signing_alg_values_supported",
        "authorization_signing_alg_values_supported",
        "mtls_endpoint_aliases",
        "tls_client_certificate_bound_access_tokens",
    ):
        assert name not in found
    for path in (
        "/register",
        "/device_authorization",
        "/token/",
        "//token",
        "/Token",
        "/oauth/token",
        "/session",
    ):
        assert (await node.http.post(path, data={"x": "y"})).status_code == 404, path


async def test_no_grant_that_is_not_named_is_served(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    named = (await metadata(node))["grant_types_supported"]
    for grant_type in (
        "password",
        "implicit",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:openid:params:grant-type:ciba",
        "Refresh_Token",
        "x",
    ):
        assert grant_type not in named
        response = await node.refresh(app, tokens["refresh_token"], grant_type=grant_type)
        assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")
    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200


# Caching, and pages of other origins.


async def test_the_public_documents_may_be_kept_and_are_not_sent_twice(node: Node) -> None:
    for path in DOCUMENTS:
        first = await node.http.get(path)
        assert first.status_code == 200
        assert first.headers["content-type"] == "application/json"
        assert first.headers["cache-control"] == "public, max-age=300"

        tag = first.headers["etag"]
        for presented in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await node.http.get(path, headers={"If-None-Match": presented})
            assert again.status_code == 304
            assert again.content == b""
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == first.headers["cache-control"]
            assert again.headers["access-control-allow-origin"] == "*"
        for presented in ('"x"', tag.strip('"'), ""):
            assert (await node.http.get(path, headers={"If-None-Match": presented})).status_code == 200
        # Nothing depends on who asks.
        assert "vary" not in first.headers
        assert "set-cookie" not in first.headers


async def test_errors_beside_the_documents_are_not_kept(node: Node) -> None:
    for path in DOCUMENTS:
        refused = await node.http.post(path)
        assert (refused.status_code, refused.headers["cache-control"]) == (405, "no-store")
    missing = await node.http.get("/.well-known/openid-configuration/")
    assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")


async def test_any_page_may_read_the_documents_with_any_header(node: Node) -> None:
    for path in DOCUMENTS:
        for origin in ("https://app.example", "https://evil.example", "null"):
            answer = await node.http.get(path, headers={"Origin": origin})
            asked = await node.http.options(
                path,
                headers={
                    "Origin": origin,
                    "Access-Control-Request-Method": "GET",
                    "Access-Control-Request-Headers": "mcp-protocol-version",
                },
            )

            assert answer.headers["access-control-allow-origin"] == "*"
            assert asked.status_code == 204
            assert asked.headers["access-control-allow-origin"] == "*"
            assert asked.headers["access-control-allow-methods"] == "GET"
            assert asked.headers["access-control-allow-headers"] == "*"
            for response in (answer, asked):
                assert "access-control-allow-credentials" not in response.headers


async def test_a_head_request_is_answered_like_a_get(node: Node) -> None:
    for path in DOCUMENTS:
        assert (await node.http.head(path)).headers["etag"] == (await node.http.get(path)).headers["etag"]


# Keys.


async def test_the_keys_are_public_named_once_and_for_signing(node: Node) -> None:
    keys = (await node.http.get("/jwks")).json()["keys"]

    assert keys
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert set(key) == {"kid", "kty", "use", "alg", "n", "e"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


class ResourceServer(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib carries no types.
    """An API that checks tokens as RFC 9068 §4 says, by Authlib."""

    def __init__(self, jwks: Any, *, audience: str) -> None:  # Any: what JSON holds.
        super().__init__(ISSUER, audience)
        self._jwks = KeySet.import_key_set(jwks)

    def get_jwks(self) -> KeySet:
        return self._jwks

    def check(self, token: str, *, now: float) -> Metadata:
        """Answer the claims; raises whatever Authlib raises."""
        claims = self.authenticate_token(token)
        claims.validate(now=int(now), leeway=0)
        return dict(claims)


async def test_another_library_takes_the_access_token_as_rfc_9068_says(node: Node, person: Person) -> None:
    app = await node.app(audiences=["https://api.example/"])
    token = (await node.tokens(app, person, resource="https://api.example/"))["access_token"]
    jwks = (await node.http.get("/jwks")).json()
    now = node.clock().timestamp()

    claims = ResourceServer(jwks, audience="https://api.example/").check(token, now=now)

    assert header_of(token)["typ"] == "at+jwt"
    assert set(claims) == {
        "iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time", "acr", "amr", "status",
    }  # fmt: skip
    assert (claims["sub"], claims["client_id"]) == (person.account_id, app.id)
    for audience, at in (("https://other.example/", now), (ISSUER, now), ("https://api.example/", now + 901)):
        with pytest.raises(JoseError):
            ResourceServer(jwks, audience=audience).check(token, now=at)


async def test_an_id_token_is_no_access_token_to_another_library(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    jwks = (await node.http.get("/jwks")).json()

    with pytest.raises(JoseError):
        ResourceServer(jwks, audience=app.id).check(tokens["id_token"], now=node.clock().timestamp())


async def test_no_verifier_that_keeps_the_jwks_for_its_time_ever_fails_over_a_rotation(
    sqlite_url: str, tmp_path: Path
) -> None:
    clock = FrozenClock()
    max_age, lifetime, step = 600, 600, 120
    settings: Metadata = {
        "keys": {"rotation_interval_seconds": 3600, "jwks_max_age_seconds": max_age},
        "tokens": {"access_token_lifetime_seconds": lifetime, "id_token_lifetime_seconds": lifetime},
    }
    async with running_node(sqlite_url, clock, tmp_path, **settings) as node:
        app, person = await node.app(), await node.person()
        newest = await node.tokens(app, person)
        alive: list[tuple[float, str]] = []
        # Verifiers that fetched at different times; each fetches anew only when its copy is too old.
        caches: list[tuple[float, KeySet]] = []
        seen = set()
        for number in range(3 * 3600 // step + 10):
            await node.provider.lifecycle.keep_keys(clock())
            now = clock().timestamp()
            newest = (await node.refresh(app, newest["refresh_token"])).json()
            alive = [(at, token) for at, token in alive if now - at < lifetime]
            alive += [(now, newest["access_token"]), (now, newest["id_token"])]
            caches = [(at, keys) for at, keys in caches if now - at <= max_age]
            keys = KeySet.import_key_set((await node.http.get("/jwks")).json())
            caches.append((now, keys))
            # The oldest copy meets everything; all of the copies meet what is newest.
            for _, token in alive[-2:] if number % 5 else alive:
                for _, cached in (caches[0], caches[-1]):
                    jwt.decode(token, cached, algorithms=["RS256"])
            seen.add(header_of(newest["access_token"])["kid"])
            clock.advance(step)

    assert len(seen) == 4


async def test_a_key_that_is_withdrawn_verifies_nothing_from_then_on(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    kid = header_of(tokens["access_token"])["kid"]
    settings = node.provider.settings
    fresh = generate_key(rsa_bits=settings.keys.rsa_bits, master_key=MASTER_KEY)
    await node.provider.database.transact(retire_now, kid, fresh=fresh, now=node.clock())
    await node.provider.keyring.reload(now=node.clock())

    assert (await node.userinfo(tokens["access_token"])).status_code == 401
    assert kid not in [key["kid"] for key in (await node.http.get("/jwks")).json()["keys"]]
    refreshed = (await node.refresh(app, tokens["refresh_token"])).json()
    assert header_of(refreshed["access_token"])["kid"] != kid
    assert (await node.userinfo(refreshed["access_token"])).status_code == 200
