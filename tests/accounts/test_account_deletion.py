import asyncio
from datetime import timedelta

from idp.accounts.account_deletion import delete_due
from idp.storage import account_deletions, accounts, credentials, email_addresses
from tests.accounts.site import Site


async def status(site: Site, account_id: str) -> str:
    account = await site.database.read(accounts.find, account_id=account_id)
    assert account is not None
    return account.status


async def told(site: Site) -> list[tuple[str, str]]:
    return [(mail.kind, mail.recipient) for mail in await site.mails()]


async def test_an_account_is_deleted_on_the_day_that_was_shown_and_not_before(site: Site) -> None:
    account_id = await site.person()
    await site.passkey(account_id)
    visitor = await site.visitor(account_id)
    answer = await visitor.send_confirmed("/account/delete")
    assert answer.headers["location"] == "/account?done=deletion-requested"
    assert "Your account will be deleted on 8 July 2026." in (await visitor.open("/account")).text
    assert await told(site) == [("deletion_requested", "ada@example.com")]

    site.clock.advance(timedelta(days=7, seconds=-1))
    assert await delete_due(site.database, sealer=site.sealer, now=site.clock()) == 0
    assert await status(site, account_id) == "active"

    site.clock.advance(timedelta(seconds=1))
    assert await delete_due(site.database, sealer=site.sealer, now=site.clock()) == 1
    assert await status(site, account_id) == "deleted"
    assert await told(site) == [("account_deleted", "ada@example.com")]
    assert await site.database.read(credentials.of_account, account_id=account_id) == []
    assert await site.database.read(email_addresses.of_account, account_id=account_id) == []
    assert await delete_due(site.database, sealer=site.sealer, now=site.clock()) == 0


async def test_a_deletion_is_cancelled_until_the_day_comes(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await visitor.send_confirmed("/account/delete")
    await visitor.open("/account")
    answer = await visitor.send("/account/delete/cancel")
    assert answer.headers["location"] == "/account?done=deletion-cancelled"
    assert {kind for kind, _ in await told(site)} == {"deletion_requested", "deletion_cancelled"}
    site.clock.advance(timedelta(days=8))
    assert await delete_due(site.database, sealer=site.sealer, now=site.clock()) == 0
    assert await status(site, account_id) == "active"


async def test_asked_for_twice_the_first_day_stands(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await visitor.send_confirmed("/account/delete")
    first = await site.database.read(account_deletions.find, account_id=account_id)
    site.clock.advance(timedelta(hours=3))
    await visitor.send_confirmed("/account/delete")
    assert await site.database.read(account_deletions.find, account_id=account_id) == first


async def test_several_nodes_delete_an_account_once(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await visitor.send_confirmed("/account/delete")
    site.clock.advance(timedelta(days=7))
    deleted = await asyncio.gather(
        *(delete_due(site.database, sealer=site.sealer, now=site.clock()) for _ in range(3))
    )
    assert sorted(deleted) == [0, 0, 1]
    assert await status(site, account_id) == "deleted"


async def test_the_export_holds_what_the_account_page_shows_and_no_secret(site: Site) -> None:
    account_id = await site.person()
    passkey = await site.passkey(account_id, name="Ada's MacBook")
    visitor = await site.visitor(account_id, credential_id=passkey)
    answer = await visitor.send("/account/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert answer.headers["cache-control"] == "no-store"
    exported = answer.json()
    assert exported["account"] == {
        "id": account_id,
        "name": "Ada",
        "role": None,
        "profile": {},
        "created_at": "2026-07-01T12:00:00+00:00",
    }
    assert [one["address"] for one in exported["email_addresses"]] == ["ada@example.com"]
    assert [one["name"] for one in exported["passkeys"]] == ["Ada's MacBook"]
    assert len(exported["sessions"]) == 1
    assert set(exported) == {
        "exported_at",
        "account",
        "email_addresses",
        "passkeys",
        "sessions",
        "connected_apps",
        "events",
    }
    for secret in ("public_key", "user_handle", "cookie", "sha256"):
        assert secret not in answer.text


async def test_the_export_of_an_old_session_is_confirmed_first(site: Site) -> None:
    visitor = await site.visitor(await site.person())
    site.clock.advance(timedelta(minutes=6))
    answer = await visitor.send_confirmed("/account/export")
    assert answer.headers["location"] == "/account?done=export-ready#data"
    assert (await visitor.send("/account/export")).json()["account"]["name"] == "Ada"
