"""What the provider says of itself, and its keys: examined by other libraries."""

from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]  # has no types
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator  # type: ignore[import-untyped]  # has no types
from authlib.oidc import rpinitiated  # type: ignore[import-untyped]  # has no types
from authlib.oidc.discovery import OpenIDProviderMetadata  # type: ignore[import-untyped]  # has no types
from joserfc.jwk import KeySet

from tests.support.node import ISSUER, Node

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


async def test_another_library_finds_nothing_wrong_with_the_metadata(node: Node) -> None:
    found = await metadata(node)

    OpenIDProviderMetadata(found).validate(metadata_classes=[rpinitiated.OpenIDProviderMetadata])
    AuthorizationServerMetadata((await node.http.get(OAUTH)).json()).validate()


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
