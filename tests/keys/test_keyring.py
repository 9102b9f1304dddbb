import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from joserfc.jwk import RSAKey

from idp.errors import TemporarilyUnavailable
from idp.keys.encryption import decrypt, encrypt
from idp.keys.keyring import Keyring, KeyringError
from idp.keys.rotation import ensure_keys, retire_now, rotate_now
from idp.storage import signing_keys as stored_keys
from idp.storage.database import Database, Transaction
from tests.keys.signing_keys import MASTER_KEY, OTHER_MASTER_KEY, TIMETABLE, fresh_key, open_keyring
from tests.support import databases
from tests.support.frozen_clock import FrozenClock


async def _spoil(tx: Transaction, /, statement: str) -> None:
    await tx.execute(sa.text(statement))


async def test_a_keyring_that_was_never_loaded_signs_nothing(database: Database, clock: FrozenClock) -> None:
    keyring = Keyring(database, master_key=MASTER_KEY)
    assert keyring.loaded_at is None
    assert keyring.jwks(now=clock()) == {"keys": []}
    with pytest.raises(TemporarilyUnavailable):
        keyring.signing_key(now=clock())


async def test_the_jwks_has_the_public_members_alone(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    (key,) = keyring.jwks(now=clock())["keys"]
    assert key.keys() == {"kid", "use", "alg", "kty", "n", "e"}
    assert (key["use"], key["alg"], key["kty"], key["e"]) == ("sig", "RS256", "RSA", "AQAB")


async def test_the_kid_is_the_rfc_7638_thumbprint(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    (key,) = keyring.jwks(now=clock())["keys"]
    assert RSAKey.import_key({name: key[name] for name in ("kty", "n", "e")}).thumbprint() == key["kid"]
    assert keyring.signing_key(now=clock()).kid == key["kid"]


async def test_the_private_key_is_not_in_the_representation(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    assert "private" not in repr(keyring.signing_key(now=clock()))


async def test_the_jwks_has_next_active_and_retiring_keys(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    first = keyring.signing_key(now=clock()).kid
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    await keyring.reload(now=clock())
    second = fresh_key(2).kid

    def kids() -> list[str]:
        return [key["kid"] for key in keyring.jwks(now=clock())["keys"]]

    assert kids() == [first, second]
    assert keyring.signing_key(now=clock()).kid == first
    clock.advance(TIMETABLE.publish_lead)
    assert kids() == [first, second]
    assert keyring.signing_key(now=clock()).kid == second
    clock.advance(TIMETABLE.stay - timedelta(seconds=1))
    assert kids() == [first, second]
    clock.advance(1)
    assert kids() == [second]


async def test_a_gone_key_verifies_nothing_and_is_remembered(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    kid = keyring.signing_key(now=clock()).kid
    await database.transact(rotate_now, fresh=fresh_key(2), timetable=TIMETABLE, now=clock())
    await keyring.reload(now=clock())
    clock.advance(TIMETABLE.publish_lead + TIMETABLE.stay)
    assert keyring.verification_key(kid, now=clock()) is None
    assert keyring.remembered_key(kid) is not None


async def test_a_withdrawn_key_is_not_even_remembered(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    kid = keyring.signing_key(now=clock()).kid
    await database.transact(retire_now, kid, fresh=fresh_key(2), now=clock())
    await keyring.reload(now=clock())
    assert keyring.verification_key(kid, now=clock()) is None
    assert keyring.remembered_key(kid) is None


async def test_a_clock_slightly_behind_still_signs_with_the_first_key(
    database: Database, clock: FrozenClock
) -> None:
    keyring = await open_keyring(database, now=clock())
    behind = clock() - timedelta(seconds=2)
    assert keyring.signing_key(now=behind).kid == fresh_key(1).kid


async def test_a_reload_that_finds_nothing_new_parses_nothing(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    before = keyring.signing_key(now=clock())
    later = clock.advance(1)
    await keyring.reload(now=later)
    assert keyring.signing_key(now=later) is before
    assert keyring.loaded_at == later


async def test_another_master_key_refuses_and_makes_no_key(database: Database, clock: FrozenClock) -> None:
    await open_keyring(database, now=clock())
    keyring = Keyring(database, master_key=OTHER_MASTER_KEY)
    with pytest.raises(KeyringError, match="never made in its place"):
        await keyring.reload(now=clock())
    assert len(await database.read(stored_keys.listed)) == 1


async def test_a_spoiled_row_leaves_the_known_keys_in_use(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    stranger = replace(fresh_key(2), private_key_encrypted=b"spoiled")
    await database.transact(rotate_now, fresh=stranger, timetable=TIMETABLE, now=clock())
    with pytest.raises(KeyringError):
        await keyring.reload(now=clock())
    assert keyring.signing_key(now=clock()).kid == fresh_key(1).kid


async def test_a_key_put_under_another_name_is_refused(database: Database, clock: FrozenClock) -> None:
    await database.transact(ensure_keys, fresh=fresh_key(1), timetable=TIMETABLE, now=clock())
    await database.transact(_spoil, "UPDATE signing_keys SET kid = 'forged'")
    with pytest.raises(KeyringError):
        await Keyring(database, master_key=MASTER_KEY).reload(now=clock())


async def test_a_key_of_another_content_than_its_name_is_refused(
    database: Database, clock: FrozenClock
) -> None:
    renamed = replace(
        fresh_key(1), kid="forged", private_key_encrypted=_reencrypted_for("forged", fresh_key(1).kid)
    )
    await database.transact(ensure_keys, fresh=renamed, timetable=TIMETABLE, now=clock())
    with pytest.raises(KeyringError, match="not the key that its name says"):
        await Keyring(database, master_key=MASTER_KEY).reload(now=clock())


def _reencrypted_for(kid: str, original: str) -> bytes:
    private = decrypt(MASTER_KEY, fresh_key(1).private_key_encrypted, context=f"signing-key:{original}")
    return encrypt(MASTER_KEY, private, context=f"signing-key:{kid}")


async def test_a_public_half_changed_in_the_database_is_not_published(
    database: Database, clock: FrozenClock
) -> None:
    await open_keyring(database, now=clock())
    await database.transact(_spoil, """UPDATE signing_keys SET public_jwk = '{"kty": "oct", "k": "AA"}'""")
    keyring = Keyring(database, master_key=MASTER_KEY)
    await keyring.reload(now=clock())
    (key,) = keyring.jwks(now=clock())["keys"]
    assert key["kty"] == "RSA"


async def test_an_unreachable_database_leaves_the_known_keys_in_use(
    database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    keyring = await open_keyring(database, now=clock())
    loaded_at = keyring.loaded_at
    gone = databases.open_for_test(databases.sqlite_address(tmp_path / "gone" / "idp.db"))
    keyring._database = gone  # noqa: SLF001 - the nearest thing to pulling the cable
    with pytest.raises(TemporarilyUnavailable):
        await keyring.reload(now=clock.advance(1))
    assert keyring.signing_key(now=clock()).kid == fresh_key(1).kid
    assert keyring.loaded_at == loaded_at
    await gone.close()


async def test_reloads_at_once_agree(database: Database, clock: FrozenClock) -> None:
    keyring = await open_keyring(database, now=clock())
    before = keyring.signing_key(now=clock())
    await asyncio.gather(*(keyring.reload(now=clock()) for _ in range(8)))
    assert keyring.signing_key(now=clock()) is before
