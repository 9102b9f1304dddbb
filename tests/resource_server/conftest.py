import pytest

from idp.resource_server import AuthorizationServer
from tests.resource_server.provider import ISSUER, Provider
from tests.support.frozen_clock import FrozenClock


@pytest.fixture
def provider(clock: FrozenClock) -> Provider:
    return Provider(clock)


@pytest.fixture
def server(provider: Provider, clock: FrozenClock) -> AuthorizationServer:
    """The provider as the service under test knows it."""
    return AuthorizationServer(ISSUER, http=provider.http, clock=lambda: clock().timestamp())
