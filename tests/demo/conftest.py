from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from idp.demo.app import build_demo
from tests.demo.issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Issuer, IssuerServer, running_server

ORIGIN = "http://localhost:9000"


@pytest.fixture(scope="module")
def _issuer_server() -> Iterator[IssuerServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def issuer(_issuer_server: IssuerServer) -> Issuer:
    return _issuer_server.fresh()


@pytest.fixture
async def browser(issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the demo, which trusts the issuer."""
    demo = build_demo(
        issuer=issuer.address,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        own_origin=ORIGIN,
        api_audience=AUDIENCE,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(demo), base_url=ORIGIN) as opened:
        yield opened
