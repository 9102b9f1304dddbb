from collections.abc import AsyncIterator

import pytest

from idp.storage.database import Database
from tests.passkeys.site import PasskeySite, VisitingBrowser
from tests.support.frozen_clock import FrozenClock


@pytest.fixture
async def site(database: Database, clock: FrozenClock) -> AsyncIterator[PasskeySite]:
    site = PasskeySite(database, clock)
    yield site
    await site.close()


@pytest.fixture
def browser(site: PasskeySite) -> VisitingBrowser:
    return site.browser()
