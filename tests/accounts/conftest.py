import pytest

from idp.settings import RateLimit, Settings
from idp.storage.database import Database
from tests.accounts.site import Site
from tests.support.frozen_clock import FrozenClock

MANY = "100000 per minute"


@pytest.fixture
def site(database: Database, clock: FrozenClock) -> Site:
    return Site(database, clock, Settings(rate_limit=RateLimit(sign_in=MANY)))
