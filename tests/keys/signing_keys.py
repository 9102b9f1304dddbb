"""What the tests of keys need: a master key, a timetable, and key pairs made once for the whole run."""

from datetime import datetime, timedelta
from functools import lru_cache

from idp.keys.keyring import Keyring
from idp.keys.master_key import MasterKey
from idp.keys.rotation import FreshKey, ensure_keys, generate_key
from idp.keys.timetable import Timetable
from idp.storage.database import Database

MASTER_KEY = MasterKey(bytes(range(32)))
OTHER_MASTER_KEY = MasterKey(bytes(range(1, 33)))
TIMETABLE = Timetable(
    rotation_interval=timedelta(hours=1),
    jwks_max_age=timedelta(minutes=5),
    longest_lifetime=timedelta(minutes=15),
)


@lru_cache(maxsize=32)
def fresh_key(number: int) -> FreshKey:
    """Answer a key pair; the same for the same number, since making one is slow."""
    del number  # Only the cache asks for it.
    return generate_key(rsa_bits=2048, master_key=MASTER_KEY)


async def open_keyring(database: Database, *, now: datetime) -> Keyring:
    """Make the deployment's first key and answer a keyring that has it."""
    await database.transact(ensure_keys, fresh=fresh_key(1), timetable=TIMETABLE, now=now)
    keyring = Keyring(database, master_key=MASTER_KEY)
    await keyring.reload(now=now)
    return keyring
