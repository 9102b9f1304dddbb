"""Tokens for services themselves (OAuth 2.1 §4.2)."""

import pytest

from tests.support.node import App, Node, claims_of


@pytest.fixture
async def service(node: Node) -> App:
    return await node.app(
        redirect_uris=[],
        grant_types=["client_credentials"],
        response_types=[],
        scope="orders:read orders:write",
        audiences=["https://api.example/orders", "https://api.example/stock"],
        default_audience="https://api.example/orders",
    )


async def test_a_service_gets_a_token_for_itself(node: Node, service: App) -> None:
    response = await node.token(service, {"grant_type": "client_credentials", "scope": "orders:read"})

    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope"}
    claims = claims_of(answer["access_token"])
    assert claims["sub"] == claims["client_id"] == service.id
    assert claims["aud"] == "https://api.example/orders"
    assert claims["scope"] == "orders:read"
    assert (await node.userinfo(answer["access_token"])).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "offline_access"}, "invalid_scope"),
        ({"scope": "unknown"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": "not a uri"}, "invalid_target"),
        ({"resource": "https://api.example/orders#x"}, "invalid_target"),
    ],
)
async def test_a_service_gets_no_more_than_is_registered(
    node: Node, service: App, form: dict[str, str], error: str
) -> None:
    response = await node.token(service, {"grant_type": "client_credentials"} | form)

    assert response.status_code == 400
    assert response.json()["error"] == error


async def test_a_web_app_has_no_token_of_its_own_unless_registered_for_it(node: Node, app: App) -> None:
    response = await node.token(app, {"grant_type": "client_credentials"})

    assert response.json()["error"] == "unauthorized_client"
