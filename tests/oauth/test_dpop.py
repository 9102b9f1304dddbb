"""Bound tokens (RFC 9449): what a thief without the key can do with them, which is nothing."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support.dpop import ProofKey
from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, App, Node, Person, claims_of, running_node

TOKEN = f"{ISSUER}/token"
USERINFO = f"{ISSUER}/userinfo"


@pytest.fixture
async def spa(node: Node) -> App:
    return await node.app(token_endpoint_auth_method="none")


@pytest.fixture
def key() -> ProofKey:
    return ProofKey()


async def ask(node: Node, app: App, form: dict[str, str], *proofs: str) -> httpx.Response:
    fields = {"client_id": app.id} | form if app.secret is None else form
    auth = httpx.BasicAuth(app.id, app.secret) if app.secret else None
    headers = [("DPoP", proof) for proof in proofs]
    return await node.http.post("/token", data=fields, headers=headers, auth=auth or httpx.USE_CLIENT_DEFAULT)


def code_form(app: App, code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.redirect_uri,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }


def refresh_form(token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": token}


async def bound_tokens(node: Node, app: App, person: Person, key: ProofKey) -> dict[str, str]:
    code = await node.code(app, person)
    response = await ask(node, app, code_form(app, code), key.proof("POST", TOKEN, now=node.clock()))
    assert response.status_code == 200, response.text
    tokens: dict[str, str] = response.json()
    return tokens


async def userinfo(node: Node, token: str, *proofs: str, scheme: str = "DPoP") -> httpx.Response:
    headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", proof) for proof in proofs)]
    return await node.http.get("/userinfo", headers=headers)


@pytest.mark.parametrize(
    "key",
    [
        ProofKey(ECKey.generate_key("P-256")),
        ProofKey(OKPKey.generate_key("Ed25519"), algorithm="Ed25519"),
        ProofKey(RSAKey.generate_key(2048), algorithm="PS256"),
    ],
    ids=["ES256", "Ed25519", "PS256"],
)
async def test_a_proof_binds_the_access_token_to_its_key(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    tokens = await bound_tokens(node, spa, person, key)

    assert tokens["token_type"] == "DPoP"
    assert claims_of(tokens["access_token"])["cnf"] == {"jkt": key.thumbprint}
    proof = key.proof("GET", USERINFO, now=node.clock(), access_token=tokens["access_token"])
    assert (await userinfo(node, tokens["access_token"], proof)).status_code == 200


async def test_a_stolen_bound_access_token_is_useless(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    token = (await bound_tokens(node, spa, person, key))["access_token"]
    thief, now = ProofKey(), node.clock()

    attempts = [
        await userinfo(node, token, scheme="Bearer"),
        await userinfo(node, token),
        await userinfo(node, token, thief.proof("GET", USERINFO, now=now, access_token=token)),
        await userinfo(node, token, key.proof("GET", USERINFO, now=now)),
        await userinfo(node, token, key.proof("GET", USERINFO, now=now, access_token="another")),
        await userinfo(node, token, key.proof("POST", USERINFO, now=now, access_token=token)),
        await userinfo(node, token, key.proof("GET", TOKEN, now=now, access_token=token)),
    ]

    for response in attempts:
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("DPoP ")


async def test_a_bearer_token_is_not_taken_as_a_bound_one(
    node: Node, app: App, person: Person, key: ProofKey
) -> None:
    token = (await node.tokens(app, person))["access_token"]

    proof = key.proof("GET", USERINFO, now=node.clock(), access_token=token)

    assert (await userinfo(node, token, proof)).status_code == 401
    assert (await node.userinfo(token)).status_code == 200


async def test_a_public_clients_refresh_token_belongs_to_its_key(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    tokens = await bound_tokens(node, spa, person, key)
    form, now = refresh_form(tokens["refresh_token"]), node.clock()

    without = await ask(node, spa, form)
    other = await ask(node, spa, form, ProofKey().proof("POST", TOKEN, now=now))
    own = await ask(node, spa, form, key.proof("POST", TOKEN, now=now))

    assert without.json()["error"] == "invalid_grant"
    assert other.json()["error"] == "invalid_grant"
    assert own.status_code == 200
    assert own.json()["token_type"] == "DPoP"


async def test_a_confidential_client_may_change_its_key_but_not_go_back_to_none(
    node: Node, app: App, person: Person, key: ProofKey
) -> None:
    tokens = await bound_tokens(node, app, person, key)
    form, now = refresh_form(tokens["refresh_token"]), node.clock()

    without = await ask(node, app, form)
    other = await ask(node, app, form, ProofKey().proof("POST", TOKEN, now=now))

    assert without.json()["error"] == "invalid_grant"
    assert other.status_code == 200


async def test_a_client_registered_for_dpop_gets_no_bearer_token(node: Node, person: Person) -> None:
    app = await node.app(dpop_bound_access_tokens=True)
    code = await node.code(app, person)

    refused = await node.redeem(app, code)

    assert refused.json()["error"] == "invalid_dpop_proof"
    proof = ProofKey().proof("POST", TOKEN, now=node.clock())
    assert (await ask(node, app, code_form(app, code), proof)).status_code == 200


async def test_a_code_asked_for_with_a_key_is_redeemed_with_that_key_alone(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    code = await node.code(spa, person, dpop_jkt=key.thumbprint)
    now = node.clock()

    without = await ask(node, spa, code_form(spa, code))
    other = await ask(node, spa, code_form(spa, code), ProofKey().proof("POST", TOKEN, now=now))
    own = await ask(node, spa, code_form(spa, code), key.proof("POST", TOKEN, now=now))

    assert [without.json()["error"], other.json()["error"]] == ["invalid_grant"] * 2
    assert own.status_code == 200


async def test_a_proof_is_good_once_whoever_sends_it(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    tokens = await bound_tokens(node, spa, person, key)
    token = tokens["access_token"]
    proof = key.proof("GET", USERINFO, now=node.clock(), access_token=token)

    responses = await asyncio.gather(*(userinfo(node, token, proof) for _ in range(16)))

    assert sorted(r.status_code for r in responses) == [200] + [401] * 15


@pytest.mark.parametrize(
    "changes",
    [
        {"htm": "GET"},
        {"htm": None},
        {"htu": f"{ISSUER}/userinfo"},
        {"htu": "https://id.example.evil/token"},
        {"htu": f"{ISSUER}//token"},
        {"htu": "https://user@id.example/token"},
        {"htu": f"{ISSUER}/token/"},
        {"htu": ["https://id.example/token"]},
        {"htu": 7},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 256},
        {"iat": None},
        {"iat": "now"},
        {"iat": True},
        {"iat": 1e308},
        {"iat": -1},
        {"nbf": 2**40},
        {"exp": 1},
        {"nonce": "made up"},
    ],
)
async def test_a_proof_with_a_wrong_word_is_refused_and_burns_nothing(
    node: Node, spa: App, person: Person, key: ProofKey, changes: dict[str, object]
) -> None:
    code = await node.code(spa, person)
    proof = key.proof("POST", TOKEN, now=node.clock(), **changes)  # type: ignore[arg-type]  # any JSON

    refused = await ask(node, spa, code_form(spa, code), proof)

    assert refused.status_code == 400
    assert refused.json()["error"] in {"invalid_dpop_proof", "use_dpop_nonce"}
    assert (await ask(node, spa, code_form(spa, code))).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"jwk": None},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"crit": ["x"]},
        {"jku": "https://evil.example"},
    ],
)
async def test_a_proof_with_a_wrong_header_is_refused(
    node: Node, spa: App, person: Person, key: ProofKey, header: dict[str, object]
) -> None:
    code = await node.code(spa, person)
    right = key.proof("POST", TOKEN, now=node.clock())
    head, payload, signature = right.split(".")
    members = json.loads(base64.urlsafe_b64decode(head + "==")) | header
    members = {name: value for name, value in members.items() if value is not None}
    spoilt = base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()

    refused = await ask(node, spa, code_form(spa, code), f"{spoilt}.{payload}.{signature}")

    assert refused.json()["error"] == "invalid_dpop_proof"


async def test_a_proof_with_a_private_key_in_it_is_refused(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    code = await node.code(spa, person)
    proof = key.proof("POST", TOKEN, now=node.clock(), header={"jwk": key.key.as_dict(private=True)})

    assert (await ask(node, spa, code_form(spa, code), proof)).json()["error"] == "invalid_dpop_proof"


async def test_two_proofs_in_one_request_are_refused(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    code = await node.code(spa, person)
    proofs = [key.proof("POST", TOKEN, now=node.clock()) for _ in range(2)]

    assert (await ask(node, spa, code_form(spa, code), *proofs)).json()["error"] == "invalid_dpop_proof"


@pytest.mark.parametrize(
    "uri",
    [
        f"{ISSUER}/token?x=1",
        f"{ISSUER}/token#x",
        "https://ID.EXAMPLE/token",
        "https://id.example:443/token",
        f"{ISSUER}/%74oken",
    ],
)
async def test_equal_spellings_of_the_target_are_equal(
    node: Node, spa: App, person: Person, key: ProofKey, uri: str
) -> None:
    code = await node.code(spa, person)

    response = await ask(node, spa, code_form(spa, code), key.proof("POST", uri, now=node.clock()))

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("offset", "status"), [(-60, 200), (60, 200), (-300, 400), (300, 400), (10, 200), (-10, 200)]
)
async def test_clocks_may_differ_by_a_minute_and_not_by_five(
    node: Node, spa: App, person: Person, key: ProofKey, offset: int, status: int
) -> None:
    code = await node.code(spa, person)
    iat = int(node.clock().timestamp()) + offset

    proof = key.proof("POST", TOKEN, now=node.clock(), iat=iat)

    assert (await ask(node, spa, code_form(spa, code), proof)).status_code == status


async def test_a_future_dated_proof_is_remembered_until_it_is_too_old(
    node: Node, spa: App, person: Person, key: ProofKey
) -> None:
    codes = [await node.code(spa, person) for _ in range(2)]
    proof = key.proof("POST", TOKEN, now=node.clock(), iat=int(node.clock().timestamp()) + 60)
    assert (await ask(node, spa, code_form(spa, codes[0]), proof)).status_code == 200

    for _ in range(5):
        node.clock.advance(59)
        again = await ask(node, spa, code_form(spa, codes[1]), proof)
        assert again.json()["error"] == "invalid_dpop_proof"


@pytest.fixture
async def strict_node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(sqlite_url, clock, tmp_path, tokens={"dpop_nonce_required": True}) as running:
        yield running


async def test_a_missing_nonce_is_asked_for_and_burns_nothing(strict_node: Node, key: ProofKey) -> None:
    node = strict_node
    spa = await node.app(token_endpoint_auth_method="none")
    code = await node.code(spa, await node.person())
    asked = await ask(node, spa, code_form(spa, code), key.proof("POST", TOKEN, now=node.clock()))
    assert asked.status_code == 400
    assert asked.json()["error"] == "use_dpop_nonce"
    nonce = asked.headers["dpop-nonce"]

    proof = key.proof("POST", TOKEN, now=node.clock(), nonce=nonce)

    assert (await ask(node, spa, code_form(spa, code), proof)).status_code == 200


async def test_an_old_nonce_is_replaced(strict_node: Node, key: ProofKey) -> None:
    node = strict_node
    spa = await node.app(token_endpoint_auth_method="none")
    code = await node.code(spa, await node.person())
    first = await ask(node, spa, code_form(spa, code), key.proof("POST", TOKEN, now=node.clock()))
    node.clock.advance(301)

    proof = key.proof("POST", TOKEN, now=node.clock(), nonce=first.headers["dpop-nonce"])
    response = await ask(node, spa, code_form(spa, code), proof)

    assert response.json()["error"] == "use_dpop_nonce"
    assert response.headers["dpop-nonce"] != first.headers["dpop-nonce"]
