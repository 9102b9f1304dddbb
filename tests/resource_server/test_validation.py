"""RFC 9068 §4: what is an access token for this service, and all that is not."""

import hashlib
import hmac
import json

import pytest

from idp.resource_server import AuthorizationServer, InvalidTokenError
from tests.resource_server.checks import check
from tests.resource_server.provider import AUDIENCE, Claims, Provider, encoded, rsa_key
from tests.support.frozen_clock import FrozenClock


async def test_a_valid_token_says_whom_it_speaks_for(provider: Provider, server: AuthorizationServer) -> None:
    token = await check(server, provider.access_token())

    assert (token.subject, token.client_id) == ("ada", "app")
    assert token.scopes == {"orders:read", "orders:write"}
    assert token.claims["acr"] == "phr"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
async def test_both_spellings_of_the_type_are_the_same(
    provider: Provider, server: AuthorizationServer, typ: str
) -> None:
    assert (await check(server, provider.access_token(header={"typ": typ}))).subject == "ada"


async def test_one_of_several_audiences_is_enough(provider: Provider, server: AuthorizationServer) -> None:
    token = provider.access_token(aud=["https://other.example", AUDIENCE])

    assert (await check(server, token)).subject == "ada"


async def test_a_token_without_scopes_has_none(provider: Provider, server: AuthorizationServer) -> None:
    assert (await check(server, provider.access_token(scope=None))).scopes == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "https://id.example/"},
        {"iss": "https://ID.example"},
        {"iss": ["https://id.example"]},
        {"aud": None},
        {"aud": "https://api.example"},
        {"aud": AUDIENCE + "/"},
        {"aud": []},
        {"aud": {"x": AUDIENCE}},
        {"exp": None},
        {"exp": 1},
        {"exp": "4102444800"},
        {"exp": 4102444800.5},
        {"exp": 10**400},
        {"exp": True},
        {"iat": None},
        {"iat": 4_102_444_800},
        {"iat": "now"},
        {"nbf": 4_102_444_800},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"client_id": None},
        {"client_id": ["app"]},
        {"jti": None},
        {"jti": 7},
        {"cnf": {"x5t#S256": "abc"}},
        {"cnf": "jkt"},
        {"cnf": {}},
    ],
    ids=lambda changes: "-".join(f"{name}-{str(value)[:20]}" for name, value in changes.items()),
)
async def test_a_claim_that_is_wrong_or_missing_keeps_it_out(
    provider: Provider, server: AuthorizationServer, changes: Claims
) -> None:
    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(**changes))


async def test_times_are_forgiven_by_the_leeway_and_no_more(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    now = int(clock().timestamp())

    assert await check(server, provider.access_token(exp=now - 9))
    assert await check(server, provider.access_token(iat=now + 10, nbf=now + 10))
    for token in (
        provider.access_token(exp=now - 10),
        provider.access_token(iat=now + 11),
        provider.access_token(nbf=now + 11),
    ):
        with pytest.raises(InvalidTokenError):
            await check(server, token)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "dpop+jwt"},
        {"typ": "logout+jwt"},
        {"typ": "statuslist+jwt"},
        {"typ": 7},
        {"kid": None},
        {"kid": "two"},
        {"kid": ""},
        {"crit": ["x"], "x": 1},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    ],
    ids=lambda header: "-".join(f"{name}-{str(value)[:20]}" for name, value in header.items()),
)
async def test_a_header_that_is_wrong_keeps_it_out(
    provider: Provider, server: AuthorizationServer, header: Claims
) -> None:
    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(header=header))


@pytest.mark.parametrize("algorithm", ["PS256", "RS512"])
async def test_the_algorithm_is_agreed_and_never_the_tokens_to_say(
    provider: Provider, server: AuthorizationServer, algorithm: str
) -> None:
    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(header={"alg": algorithm}))


async def test_the_public_key_is_no_secret_to_sign_with(
    provider: Provider, server: AuthorizationServer
) -> None:
    # CVE-2022-29217 and its kind: HS256 with the RSA key's public half as the secret.
    _, payload, _ = provider.access_token().split(".")
    signed = encoded({"alg": "HS256", "typ": "at+jwt", "kid": "one"}) + "." + payload
    for secret in (provider.key.as_pem(private=False), json.dumps(provider.published[0]).encode()):
        digest = hmac.digest(secret, signed.encode(), hashlib.sha256)
        with pytest.raises(InvalidTokenError):
            await check(server, f"{signed}.{encoded(digest)}")


async def test_a_token_without_a_signature_is_none(provider: Provider, server: AuthorizationServer) -> None:
    header, payload, signature = provider.access_token().split(".")
    for alg in ("none", "None", "NONE"):
        unsigned = encoded({"alg": alg, "typ": "at+jwt", "kid": "one"})
        for spoilt in (f"{unsigned}.{payload}.", f"{unsigned}.{payload}.{signature}"):
            with pytest.raises(InvalidTokenError):
                await check(server, spoilt)
    with pytest.raises(InvalidTokenError):
        await check(server, f"{header}.{payload}.")


async def test_a_strangers_key_of_the_same_id_is_refused(
    provider: Provider, server: AuthorizationServer
) -> None:
    claims = provider.access_token().split(".")[1]
    stranger = Provider(provider.clock, key=rsa_key("stranger"))
    forged = stranger.access_token(header={"kid": "one"})

    with pytest.raises(InvalidTokenError):
        await check(server, forged)
    with pytest.raises(InvalidTokenError):
        await check(server, ".".join((forged.split(".")[0], claims, forged.split(".")[2])))


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "....", "é", "\ud800", " ", "A" * 20_000, f"{encoded([])}.{encoded([])}.AA"]
)
async def test_what_is_no_token_is_refused(server: AuthorizationServer, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        await check(server, token)


async def test_nesting_without_end_is_refused(server: AuthorizationServer) -> None:
    deep = encoded(b'{"alg":"RS256","kid":"one","typ":"at+jwt","x":' + b"[" * 5000 + b"]" * 5000 + b"}")

    with pytest.raises(InvalidTokenError):
        await check(server, f"{deep}.{encoded({})}.AA")
