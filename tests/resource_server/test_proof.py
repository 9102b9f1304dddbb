"""RFC 9449 §4.3, §7: a bound token opens nothing without its key, and each proof opens once."""

import asyncio
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idp.resource_server import AuthorizationServer, InvalidProofError, InvalidTokenError, UnavailableError
from idp.resource_server.proof import UsedProofsInMemory, normalized_target
from tests.resource_server.checks import check
from tests.resource_server.provider import AUDIENCE, ISSUER, Provider, rsa_key, sign
from tests.support.dpop import ProofKey, digest
from tests.support.frozen_clock import FrozenClock


@pytest.fixture
def key() -> ProofKey:
    return ProofKey()


@pytest.fixture
def bound(provider: Provider, key: ProofKey) -> str:
    """A token that is bound to the key."""
    return provider.access_token(cnf={"jkt": key.thumbprint})


async def test_a_bound_token_with_its_proof_gets_through(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    proof = key.proof("GET", AUDIENCE, now=clock(), access_token=bound)

    assert (await check(server, bound, proof)).subject == "ada"


@pytest.mark.parametrize(
    "key",
    [
        ProofKey(RSAKey.generate_key(2048), algorithm="PS256"),
        ProofKey(OKPKey.generate_key("Ed25519"), algorithm="Ed25519"),
    ],
    ids=lambda key: key.algorithm,
)
async def test_keys_of_the_other_kinds_prove_as_well(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock, key: ProofKey
) -> None:
    token = provider.access_token(cnf={"jkt": key.thumbprint})

    proof = key.proof("GET", AUDIENCE, now=clock(), access_token=token)

    assert (await check(server, token, proof)).subject == "ada"


async def test_a_bound_token_is_no_bearer_token(server: AuthorizationServer, bound: str) -> None:
    with pytest.raises(InvalidTokenError):
        await check(server, bound)


async def test_a_bearer_token_is_no_bound_token(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock, key: ProofKey
) -> None:
    token = provider.access_token()
    proof = key.proof("GET", AUDIENCE, now=clock(), access_token=token)

    with pytest.raises(InvalidTokenError):
        await check(server, token, proof)


@pytest.mark.parametrize(
    "changes",
    [
        {"htm": "POST"},
        {"htm": "get"},
        {"htm": None},
        {"htu": None},
        {"htu": 7},
        {"htu": "https://api.example/"},
        {"htu": "https://api.example/orders/"},
        {"htu": "https://api.example//orders"},
        {"htu": "https://api.example/Orders"},
        {"htu": "http://api.example/orders"},
        {"htu": "https://api.example:8443/orders"},
        {"htu": "https://evil@api.example/orders"},
        {"htu": "https://api.example:x/orders"},
        {"htu": "/orders"},
        {"ath": None},
        {"ath": "x"},
        {"ath": 7},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 256},
        {"jti": 7},
        {"iat": None},
        {"iat": "now"},
        {"iat": 1.5},
        {"iat": True},
        {"exp": 1},
        {"nbf": 4_102_444_800},
    ],
    ids=str,
)
async def test_a_proof_that_is_wrong_in_one_word_proves_nothing(
    server: AuthorizationServer,
    clock: FrozenClock,
    key: ProofKey,
    bound: str,
    changes: dict[str, Any],  # Any: the claims are of many types.
) -> None:
    with pytest.raises(InvalidProofError):
        await check(server, bound, key.proof("GET", AUDIENCE, now=clock(), access_token=bound, **changes))
    right = key.proof("GET", AUDIENCE, now=clock(), access_token=bound)
    assert (await check(server, bound, right)).subject == "ada"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": "DPOP+JWT"},
        {"jwk": None},
        {"jwk": {"kty": "EC"}},
        {"jku": "https://evil.example/jwks"},
        {"x5c": ["MII="]},
    ],
    ids=str,
)
async def test_a_proof_with_a_wrong_header_proves_nothing(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str, header: dict[str, object]
) -> None:
    with pytest.raises(InvalidProofError):
        await check(server, bound, key.proof("GET", AUDIENCE, now=clock(), access_token=bound, header=header))


@pytest.mark.parametrize(
    "other",
    [
        ProofKey(),
        ProofKey(rsa_key("one"), algorithm="RS256"),
        ProofKey(OKPKey.generate_key("Ed25519"), algorithm="Ed25519"),
    ],
    ids=lambda other: other.algorithm,
)
async def test_another_key_proves_nothing(
    server: AuthorizationServer, clock: FrozenClock, bound: str, other: ProofKey
) -> None:
    with pytest.raises(InvalidProofError):
        await check(server, bound, other.proof("GET", AUDIENCE, now=clock(), access_token=bound))


async def test_naming_the_tokens_key_without_having_it_proves_nothing(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    public: dict[str, object] = {"jwk": key.key.as_dict(private=False)}
    forged = ProofKey().proof("GET", AUDIENCE, now=clock(), access_token=bound, header=public)

    with pytest.raises(InvalidProofError):
        await check(server, bound, forged)


async def test_a_private_key_in_a_proof_is_refused(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    private: dict[str, object] = {"jwk": key.key.as_dict(private=True)}

    with pytest.raises(InvalidProofError):
        await check(
            server, bound, key.proof("GET", AUDIENCE, now=clock(), access_token=bound, header=private)
        )


async def test_a_small_rsa_key_proves_nothing(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    key = rsa_key("small", 1024)
    members = {name: key.as_dict(private=False)[name] for name in ("e", "kty", "n")}
    token = provider.access_token(cnf={"jkt": key.thumbprint()})
    claims = {"jti": "1", "htm": "GET", "htu": AUDIENCE, "ath": digest(token)}
    header = {"typ": "dpop+jwt", "alg": "PS256", "jwk": members}
    proof = sign(header, claims | {"iat": int(clock().timestamp())}, key)

    with pytest.raises(InvalidProofError, match="small"):
        await check(server, token, proof)


async def test_exactly_one_proof_goes_with_a_bound_token(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    proofs = [key.proof("GET", AUDIENCE, now=clock(), access_token=bound) for _ in range(2)]

    for presented in (proofs, ["x"], ["a.b.c"], ["A" * 9000]):
        with pytest.raises(InvalidProofError):
            await check(server, bound, *presented)
    assert (await check(server, bound, proofs[0])).subject == "ada"


async def test_a_proof_is_for_its_token(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    other = provider.access_token(cnf={"jkt": key.thumbprint}, jti="token-2")

    with pytest.raises(InvalidProofError):
        await check(server, other, key.proof("GET", AUDIENCE, now=clock(), access_token=bound))


async def test_a_proof_opens_once_however_many_try_at_once(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    proof = key.proof("GET", AUDIENCE, now=clock(), access_token=bound)

    found = await asyncio.gather(*(check(server, bound, proof) for _ in range(20)), return_exceptions=True)

    assert [type(answer) for answer in found].count(InvalidProofError) == 19


@pytest.mark.parametrize("made", [-90, -60, 0, 30])
async def test_a_proof_is_remembered_as_long_as_it_would_be_accepted(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str, made: int
) -> None:
    proof = key.proof("GET", AUDIENCE, now=clock(), access_token=bound, iat=int(clock().timestamp()) + made)
    assert (await check(server, bound, proof)).subject == "ada"

    for _ in range(13):
        with pytest.raises(InvalidProofError):
            await check(server, bound, proof)
        clock.advance(10)


@pytest.mark.parametrize("made", [-91, 31, -600, 600])
async def test_a_proof_from_long_ago_or_from_the_future_is_refused(
    server: AuthorizationServer, clock: FrozenClock, key: ProofKey, bound: str, made: int
) -> None:
    proof = key.proof("GET", AUDIENCE, now=clock(), access_token=bound, iat=int(clock().timestamp()) + made)

    with pytest.raises(InvalidProofError):
        await check(server, bound, proof)


async def test_the_same_jti_by_another_client_is_no_replay(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    for _ in range(2):
        key = ProofKey(ECKey.generate_key("P-256"))
        token = provider.access_token(cnf={"jkt": key.thumbprint})
        proof = key.proof("GET", AUDIENCE, now=clock(), access_token=token, jti="1")
        assert (await check(server, token, proof)).subject == "ada"


async def test_a_full_memory_refuses_rather_than_forget(
    provider: Provider, clock: FrozenClock, key: ProofKey, bound: str
) -> None:
    server = AuthorizationServer(
        ISSUER,
        http=provider.http,
        clock=lambda: clock().timestamp(),
        used_proofs=UsedProofsInMemory(most=2),
    )
    proofs = [key.proof("GET", AUDIENCE, now=clock(), access_token=bound) for _ in range(3)]
    for proof in proofs[:2]:
        await check(server, bound, proof)

    with pytest.raises(UnavailableError):
        await check(server, bound, proofs[2])
    with pytest.raises(InvalidProofError):
        await check(server, bound, proofs[0])
    clock.advance(120)
    later = key.proof("GET", AUDIENCE, now=clock(), access_token=bound)
    assert (await check(server, bound, later)).subject == "ada"


@pytest.mark.parametrize(
    ("htu", "uri"),
    [
        ("https://API.example/orders", "https://api.example/orders"),
        ("HTTPS://api.example:443/orders", "https://api.example/orders"),
        ("https://api.example/orders?x=1#y", "https://api.example/orders?z=2"),
        ("https://api.example", "https://api.example/"),
        ("https://api.example/%6frders", "https://api.example/orders"),
        ("https://api.example/a%2fb", "https://api.example/a%2Fb"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]:443/x"),
    ],
)
def test_targets_are_compared_normalized(htu: str, uri: str) -> None:
    assert normalized_target(htu) == normalized_target(uri) is not None


@pytest.mark.parametrize("uri", ["https://api.example/a%2Fb", "https://api.example/a/./b"])
def test_targets_that_are_other_paths_are_not_the_same(uri: str) -> None:
    assert normalized_target(uri) != normalized_target("https://api.example/a/b")
