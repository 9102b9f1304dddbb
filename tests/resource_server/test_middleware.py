"""In front of an ASGI application: who gets through, and what the others are told."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.resource_server import (
    AccessToken,
    AccessTokenError,
    AuthorizationServer,
    InsufficientScopeError,
    ProtectedResource,
    Requirement,
    refuse,
)
from tests.resource_server.provider import AUDIENCE, ISSUER, Provider
from tests.support.dpop import ProofKey
from tests.support.frozen_clock import FrozenClock

METADATA = "https://api.example/.well-known/oauth-protected-resource/orders"
ALGORITHMS = "ES256 Ed25519 EdDSA PS256"


async def _orders(request: Request) -> Response:
    token: AccessToken = request.scope["access_token"]
    return JSONResponse({"of": token.subject, "path": request.url.path})


async def _pay(request: Request) -> Response:
    token: AccessToken = request.scope["access_token"]
    token.require(Requirement(acr_values=("phr",), max_age_seconds=300))
    return JSONResponse({"paid": True})


async def _refund(request: Request) -> Response:
    token: AccessToken = request.scope["access_token"]
    token.require(Requirement(scopes=frozenset({"orders:refund", "orders:write"})))
    return JSONResponse({"refunded": True})


@pytest.fixture
def application(server: AuthorizationServer) -> ASGIApp:
    routes = [
        Route("/orders", _orders, methods=["GET", "POST"]),
        Route("/orders/pay", _pay, methods=["POST"]),
        Route("/orders/refund", _refund, methods=["POST"]),
    ]
    return ProtectedResource(
        Starlette(routes=routes, exception_handlers={AccessTokenError: refuse}),
        server=server,
        resource=AUDIENCE,
        requirement=Requirement(scopes=frozenset({"orders:read"})),
        scopes_supported=("orders:read", "orders:write"),
    )


async def _call_plain(
    provider: Provider, server: AuthorizationServer, *, answers_first: bool
) -> httpx.Response:
    async def plain(scope: Scope, _receive: Receive, send: Send) -> None:
        if answers_first:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        token: AccessToken = scope["access_token"]
        token.require(Requirement(scopes=frozenset({"missing"})))

    guarded = ProtectedResource(plain, server=server, resource=AUDIENCE)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(guarded), base_url="https://api.example"
    ) as client:
        return await client.get("/orders", headers=bearer(provider.access_token()))


async def test_a_refusal_after_the_answer_began_is_not_swallowed(
    provider: Provider, server: AuthorizationServer
) -> None:
    with pytest.raises(InsufficientScopeError):
        await _call_plain(provider, server, answers_first=True)


async def test_a_plain_asgi_application_is_answered_for_as_well(
    provider: Provider, server: AuthorizationServer
) -> None:
    response = await _call_plain(provider, server, answers_first=False)

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")


@pytest.fixture
async def http(application: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application), base_url="https://api.example"
    ) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_valid_token_reaches_the_application(provider: Provider, http: httpx.AsyncClient) -> None:
    response = await http.get("/orders?x=1", headers=bearer(provider.access_token()))

    assert (response.status_code, response.json()) == (200, {"of": "ada", "path": "/orders"})


@pytest.mark.parametrize("value", [None, "Basic YTpi", "Bearer", "Bearer  ", "Token x"])
async def test_without_a_token_the_challenge_names_the_ways_and_no_error(
    http: httpx.AsyncClient, value: str | None
) -> None:
    response = await http.get("/orders", headers={"Authorization": value} if value else {})

    assert response.status_code == 401
    assert response.headers.get_list("www-authenticate") == [
        f'Bearer resource_metadata="{METADATA}"',
        f'DPoP algs="{ALGORITHMS}", resource_metadata="{METADATA}"',
    ]


async def test_a_token_in_the_address_or_the_body_is_none(
    provider: Provider, http: httpx.AsyncClient
) -> None:
    token = provider.access_token()

    in_address = await http.get("/orders", params={"access_token": token})
    in_body = await http.post("/orders", data={"access_token": token})

    assert (in_address.status_code, in_body.status_code) == (401, 401)


async def test_a_refused_token_is_told_why_and_where_to_ask(
    provider: Provider, http: httpx.AsyncClient
) -> None:
    response = await http.get("/orders", headers=bearer(provider.access_token(exp=1, iat=0)))

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == (
        'Bearer error="invalid_token", error_description="the token has expired", '
        f'resource_metadata="{METADATA}"'
    )
    assert response.json() == {"error": "invalid_token", "error_description": "the token has expired"}
    assert response.headers["cache-control"] == "no-store"


async def test_two_authorization_headers_are_refused(provider: Provider, http: httpx.AsyncClient) -> None:
    token = provider.access_token()
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]

    response = await http.get("/orders", headers=headers)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_a_missing_scope_is_403_and_named(provider: Provider, http: httpx.AsyncClient) -> None:
    for path, token, scopes in (
        ("/orders/refund", provider.access_token(), "orders:refund orders:write"),
        ("/orders/refund", provider.access_token(scope="orders:write"), "orders:read"),
    ):
        response = await http.post(path, headers=bearer(token))
        assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
        assert f'scope="{scopes}"' in response.headers["www-authenticate"]


async def test_an_old_sign_in_is_told_to_step_up(
    provider: Provider, http: httpx.AsyncClient, clock: FrozenClock
) -> None:
    now = int(clock().timestamp())

    fresh = await http.post("/orders/pay", headers=bearer(provider.access_token(auth_time=now - 300)))
    old = await http.post("/orders/pay", headers=bearer(provider.access_token(auth_time=now - 301)))
    unknown = await http.post("/orders/pay", headers=bearer(provider.access_token(auth_time=None)))

    assert fresh.status_code == 200
    for response in (old, unknown):
        assert response.status_code == 401
        # RFC 9470 §3.
        challenge = response.headers["www-authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert 'acr_values="phr"' in challenge
        assert 'max_age="300"' in challenge


@pytest.mark.parametrize("acr", ["pwd", None, ["phr"]])
async def test_a_weaker_sign_in_is_told_to_step_up(
    provider: Provider, http: httpx.AsyncClient, acr: object
) -> None:
    response = await http.post("/orders/pay", headers=bearer(provider.access_token(acr=acr)))

    assert response.status_code == 401
    assert response.json()["error"] == "insufficient_user_authentication"


async def test_a_bound_token_gets_through_with_its_proof_for_our_own_name(
    provider: Provider, http: httpx.AsyncClient, clock: FrozenClock
) -> None:
    key = ProofKey()
    token = provider.access_token(cnf={"jkt": key.thumbprint})

    def proof(uri: str) -> dict[str, str]:
        made = key.proof("GET", uri, now=clock(), access_token=token)
        return {"Authorization": f"DPoP {token}", "DPoP": made}

    right = await http.get("/orders?page=2", headers=proof(AUDIENCE))
    # A proof for another name, and a Host header that says so too.
    wrong = await http.get("/orders", headers=proof("https://evil.example/orders") | {"Host": "evil.example"})
    downgraded = await http.get("/orders", headers=bearer(token))

    assert right.status_code == 200
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_dpop_proof")
    assert wrong.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')
    assert f'algs="{ALGORITHMS}"' in wrong.headers["www-authenticate"]
    assert (downgraded.status_code, downgraded.json()["error"]) == (401, "invalid_token")


async def test_while_nothing_can_be_said_the_answer_is_503(
    provider: Provider, http: httpx.AsyncClient
) -> None:
    provider.is_down = True

    response = await http.get("/orders", headers=bearer(provider.access_token()))

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "www-authenticate" not in response.headers


async def test_the_metadata_say_whose_tokens_are_accepted(http: httpx.AsyncClient) -> None:
    response = await http.get(METADATA)

    # RFC 9728 §2.
    assert response.json() == {
        "resource": AUDIENCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256", "Ed25519", "EdDSA", "PS256"],
        "scopes_supported": ["orders:read", "orders:write"],
    }
    assert response.headers["access-control-allow-origin"] == "*"
    assert (await http.post(METADATA)).status_code == 405


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example/", "/.well-known/oauth-protected-resource"),
        ("https://api.example/a/b", "/.well-known/oauth-protected-resource/a/b"),
    ],
)
def test_the_metadata_stand_where_rfc_9728_looks_for_them(
    server: AuthorizationServer, resource: str, path: str
) -> None:
    assert ProtectedResource(Starlette(), server=server, resource=resource).metadata_path == path


@pytest.mark.parametrize("resource", ["orders", "urn:example:orders", "https://api.example/?x", "/orders"])
def test_a_resource_without_an_address_cannot_be_protected(
    server: AuthorizationServer, resource: str
) -> None:
    with pytest.raises(ValueError, match="absolute URL"):
        ProtectedResource(Starlette(), server=server, resource=resource)


async def test_a_websocket_is_not_let_through_unseen(application: ASGIApp) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await application({"type": "websocket", "path": "/orders", "headers": []}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
