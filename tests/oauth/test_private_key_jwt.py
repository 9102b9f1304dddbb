"""Clients that prove themselves by a key of their own (RFC 7523)."""

import asyncio
import json
import secrets
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idp.clients.metadata import parse_metadata
from idp.errors import InvalidClientMetadata
from tests.support.dpop import Key, sign
from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, App, Node, Person, running_node

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
EC = ECKey.generate_key("P-256", parameters={"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})
SERVICE: dict[str, Any] = {  # Any: a registration holds strings, lists and objects.
    "redirect_uris": [],
    "grant_types": ["client_credentials"],
    "response_types": [],
    "scope": "orders:read",
    "token_endpoint_auth_method": "private_key_jwt",
}


def rsa_jwk(bits: int) -> dict[str, str]:
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key().public_numbers()
    modulus = urlsafe_b64encode(numbers.n.to_bytes(bits // 8, "big")).rstrip(b"=").decode()
    return {"kty": "RSA", "n": modulus, "e": "AQAB"}


def jwks(*keys: Key) -> dict[str, object]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def assertion(app: App, key: Key, algorithm: str, node: Node, **changes: object) -> str:
    now = int(node.clock().timestamp())
    claims = {
        "iss": app.id,
        "sub": app.id,
        "aud": ISSUER,
        "exp": now + 60,
        "iat": now,
        "jti": secrets.token_urlsafe(16),
    } | changes
    return sign({"alg": algorithm, "kid": key.kid, "typ": "JWT"}, claims, key)


async def ask(node: Node, presented: str, **others: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": TYPE,
        "client_assertion": presented,
    } | others
    return await node.http.post("/token", data=form)


@pytest.fixture
async def service(node: Node) -> App:
    return await node.app(**SERVICE, jwks=jwks(RSA, EC, ED))


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")]
)
async def test_a_client_proves_itself_by_its_key(node: Node, service: App, key: Key, algorithm: str) -> None:
    assert service.secret is None

    response = await ask(node, assertion(service, key, algorithm, node))

    assert response.status_code == 200, response.text


async def test_an_assertion_is_good_once(node: Node, service: App) -> None:
    presented = assertion(service, EC, "ES256", node)

    responses = await asyncio.gather(*(ask(node, presented) for _ in range(8)))

    assert sorted(r.status_code for r in responses) == [200] + [401] * 7


async def test_an_assertion_is_remembered_for_as_long_as_it_could_be_accepted(
    node: Node, service: App
) -> None:
    presented = assertion(service, EC, "ES256", node, exp=int(node.clock().timestamp()) + 900)
    assert (await ask(node, presented)).status_code == 200

    for _ in range(18):
        node.clock.advance(55)
        assert (await ask(node, presented)).json()["error"] == "invalid_client"


NOW = int(FrozenClock()().timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [ISSUER]},
        {"aud": f"{ISSUER}/token"},
        {"aud": f"{ISSUER}/"},
        {"aud": f"{ISSUER}/par"},
        {"aud": None},
        {"iss": "somebody"},
        {"iss": None},
        {"exp": None},
        {"exp": NOW},
        {"exp": NOW + 86_400},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e308},
        {"iat": NOW + 300},
        {"nbf": NOW + 60},
        {"jti": None},
        {"jti": 7},
        {"jti": "x" * 300},
    ],
)
async def test_an_assertion_with_a_wrong_word_is_refused(
    node: Node, service: App, changes: dict[str, object]
) -> None:
    response = await ask(node, assertion(service, EC, "ES256", node, **changes))

    assert response.status_code == 401
    assert response.json() == {
        "error": "invalid_client",
        "error_description": "client authentication failed",
    }


async def test_clocks_may_differ_a_little(node: Node, service: App) -> None:
    for changes in ({"nbf": NOW + 8}, {"iat": NOW + 60}, {"iat": NOW - 60}):
        assert (await ask(node, assertion(service, EC, "ES256", node, **changes))).status_code == 200


async def test_another_clients_key_proves_nothing(node: Node, service: App) -> None:
    other_key = ECKey.generate_key("P-256", parameters={"kid": "other"})
    await node.app(**SERVICE, client_name="Other", jwks=jwks(other_key))

    response = await ask(node, assertion(service, other_key, "ES256", node))

    assert response.status_code == 401


async def test_a_key_client_does_not_pass_by_a_secret_or_by_nothing(node: Node, service: App) -> None:
    by_secret = await node.http.post(
        "/token", data={"grant_type": "client_credentials"}, auth=(service.id, "guess")
    )
    by_nothing = await node.http.post(
        "/token", data={"grant_type": "client_credentials", "client_id": service.id}
    )

    assert by_secret.status_code == by_nothing.status_code == 401


async def test_a_secret_client_does_not_pass_by_an_assertion(node: Node, app: App) -> None:
    response = await ask(node, assertion(app, EC, "ES256", node))

    assert response.json()["error"] == "invalid_client"


async def test_two_ways_at_once_are_refused(node: Node, service: App) -> None:
    presented = assertion(service, EC, "ES256", node)

    with_secret = await ask(node, presented, client_secret="x")
    with_other_id = await ask(node, presented, client_id="other")

    assert with_secret.json()["error"] == "invalid_request"
    assert with_other_id.json()["error"] == "invalid_request"
    assert (await ask(node, presented)).status_code == 200


@pytest.mark.parametrize("presented", ["", "x", "a.b.c", "....", "é.é.é", "x" * 20_000])
async def test_rubbish_is_no_assertion(node: Node, presented: str) -> None:
    assert (await ask(node, presented)).status_code in {400, 401}


async def test_an_unsigned_or_shared_secret_assertion_is_refused(node: Node, service: App) -> None:
    _, payload, signature = assertion(service, RSA, "RS256", node).split(".")
    for algorithm in ("none", "HS256", "RS512"):
        header = urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "rsa"}).encode()).rstrip(b"=")
        assert (await ask(node, f"{header.decode()}.{payload}.{signature}")).status_code == 401


async def test_a_refresh_token_of_a_key_client_needs_its_key(node: Node, person: Person) -> None:
    app = await node.app(token_endpoint_auth_method="private_key_jwt", jwks=jwks(EC), first_party=True)
    code = await node.code(app, person)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.redirect_uri,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "client_assertion_type": TYPE,
    }

    response = await node.http.post(
        "/token", data=form | {"client_assertion": assertion(app, EC, "ES256", node)}
    )

    assert response.status_code == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": response.json()["refresh_token"]}
    assert (await node.http.post("/token", data=refresh | {"client_id": app.id})).status_code == 401
    proved = refresh | {
        "client_assertion_type": TYPE,
        "client_assertion": assertion(app, EC, "ES256", node),
    }
    assert (await node.http.post("/token", data=proved)).status_code == 200


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [rsa_jwk(1024)],
        [EC.as_dict(private=True)],
        [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}],
        [{**RSA.as_dict(private=False), "e": "AQ"}],
        [{**RSA.as_dict(private=False), "n": "A" * 2732}],
        [{**EC.as_dict(private=False), "x": EC.as_dict(private=False)["y"]}],
        [EC.as_dict(private=False), EC.as_dict(private=False)],
        [ECKey.generate_key("P-384").as_dict(private=False)],
        ["no key"],
    ],
)
def test_bad_keys_are_not_registered(keys: list[object]) -> None:
    values = SERVICE | {"client_name": "Service", "jwks": {"keys": keys}}

    with pytest.raises(InvalidClientMetadata, match="jwks"):
        parse_metadata(values)


@asynccontextmanager
async def serving(answer: Callable[[], bytes]) -> AsyncIterator[tuple[str, list[str]]]:
    """A client's own little web server, which notes each request."""
    seen: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        seen.append(request.split(b"\r\n", 1)[0].decode())
        body = answer()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/jwks", seen
    finally:
        server.close()
        await server.wait_closed()


async def test_keys_by_reference_are_fetched_once_and_again_for_an_unknown_kid(
    sqlite_url: str, clock: FrozenClock, tmp_path: Path
) -> None:
    present = [jwks(EC)]
    async with (
        serving(lambda: json.dumps(present[0]).encode()) as (uri, seen),
        running_node(sqlite_url, clock, tmp_path, outbound_networks=("127.0.0.0/8",)) as node,
    ):
        app = await node.app(**SERVICE, jwks_uri=uri)
        for _ in range(3):
            assert (await ask(node, assertion(app, EC, "ES256", node))).status_code == 200
        assert len(seen) == 1

        newer = ECKey.generate_key("P-256", parameters={"kid": "newer"})
        present[0] = jwks(newer)
        node.clock.advance(61)

        assert (await ask(node, assertion(app, newer, "ES256", node))).status_code == 200
        assert len(seen) == 2


async def test_a_thousand_unknown_kids_cost_one_fetch_and_harm_no_good_key(
    sqlite_url: str, clock: FrozenClock, tmp_path: Path
) -> None:
    async with (
        serving(lambda: json.dumps(jwks(EC)).encode()) as (uri, seen),
        running_node(
            sqlite_url,
            clock,
            tmp_path,
            outbound_networks=("127.0.0.0/8",),
            rate_limit={"client_failures": "100000 per minute"},
        ) as node,
    ):
        app = await node.app(**SERVICE, jwks_uri=uri)
        for number in range(200):
            stranger = EC.as_dict(private=True) | {"kid": f"unknown-{number}"}
            presented = assertion(app, ECKey.import_key(stranger), "ES256", node)
            assert (await ask(node, presented)).status_code == 401

        assert len(seen) <= 2
        assert (await ask(node, assertion(app, EC, "ES256", node))).status_code == 200


async def test_keys_inside_our_own_network_are_not_fetched(node: Node) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks"
        app = await node.app(**SERVICE, jwks_uri=uri)

        response = await ask(node, assertion(app, EC, "ES256", node))

        assert response.status_code == 401
        with pytest.raises(BlockingIOError):
            listener.accept()
