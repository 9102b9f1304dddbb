from dataclasses import replace
from datetime import timedelta

import pytest

from idp.storage import credentials
from idp.storage.credentials import Credential
from idp.storage.database import Database
from tests.storage import rows
from tests.storage.rows import ACCOUNT, LATER
from tests.support.frozen_clock import NOON

_CREDENTIAL = Credential(
    id=b"\x00credential",
    account_id=ACCOUNT,
    rp_id="localhost",
    public_key=b"\xa5key",
    sign_count=2**32 - 1,
    transports=["internal", "hybrid"],
    aaguid="00000000-0000-0000-0000-000000000000",
    backup_eligible=True,
    backed_up=False,
    user_verified=True,
    name="Phone",
    suspected_clone_at=None,
    created_at=NOON,
    last_used_at=None,
)


@pytest.fixture(autouse=True)
async def _accounts(database: Database) -> None:
    await database.transact(rows.insert_account)
    await database.transact(rows.insert_account, account_id="other")


async def test_a_passkey_is_read_as_written(database: Database) -> None:
    inserted = await database.transact(credentials.insert, _CREDENTIAL)

    assert inserted
    assert await database.read(credentials.find, credential_id=_CREDENTIAL.id) == _CREDENTIAL
    assert await database.transact(credentials.lock, credential_id=_CREDENTIAL.id) == _CREDENTIAL


async def test_an_unknown_passkey_is_none(database: Database) -> None:
    assert await database.read(credentials.find, credential_id=b"unknown") is None
    assert await database.transact(credentials.lock, credential_id=b"unknown") is None


async def test_a_known_id_is_never_taken_over(database: Database) -> None:
    await database.transact(credentials.insert, _CREDENTIAL)

    assert not await database.transact(credentials.insert, replace(_CREDENTIAL, account_id="other"))
    assert await database.read(credentials.find, credential_id=_CREDENTIAL.id) == _CREDENTIAL


async def test_passkeys_are_listed_by_account(database: Database) -> None:
    newer = replace(_CREDENTIAL, id=b"a", created_at=NOON + timedelta(seconds=1))
    others = replace(_CREDENTIAL, id=b"b", account_id="other")
    for credential in (newer, _CREDENTIAL, others):
        await database.transact(credentials.insert, credential)

    assert await database.read(credentials.of_account, account_id=ACCOUNT) == [_CREDENTIAL, newer]
    assert await database.read(credentials.of_accounts, account_ids=[ACCOUNT, "other", "unknown"]) == [
        _CREDENTIAL,
        newer,
        others,
    ]
    assert await database.read(credentials.of_accounts, account_ids=[]) == []


async def test_a_use_is_recorded(database: Database) -> None:
    await database.transact(credentials.insert, _CREDENTIAL)

    await database.transact(
        credentials.record_use,
        credential_id=_CREDENTIAL.id,
        sign_count=7,
        backed_up=True,
        suspected_clone_at=LATER,
        now=LATER,
    )

    assert await database.read(credentials.find, credential_id=_CREDENTIAL.id) == replace(
        _CREDENTIAL, sign_count=7, backed_up=True, suspected_clone_at=LATER, last_used_at=LATER
    )


async def test_only_its_own_account_renames_or_deletes_a_passkey(database: Database) -> None:
    await database.transact(credentials.insert, _CREDENTIAL)
    chosen = {"credential_id": _CREDENTIAL.id}

    foreign = [
        await database.transact(credentials.rename, **chosen, account_id="other", name="Mine"),
        await database.transact(credentials.delete, **chosen, account_id="other"),
    ]
    own = [
        await database.transact(credentials.rename, **chosen, account_id=ACCOUNT, name="Key"),
        await database.transact(credentials.delete, **chosen, account_id=ACCOUNT),
    ]

    assert (foreign, own) == ([False, False], [True, True])
    assert await database.read(credentials.of_account, account_id=ACCOUNT) == []
