import asyncio
from datetime import timedelta

import pytest

from idp import opaque_token
from idp.storage import audit_log, credentials
from tests.accounts.site import Site


async def names(site: Site, account_id: str) -> list[str]:
    own = await site.database.read(credentials.of_account, account_id=account_id)
    return sorted(passkey.name for passkey in own)


async def test_a_passkey_is_renamed(site: Site) -> None:
    account_id = await site.person()
    passkey = await site.passkey(account_id, name="Old")
    visitor = await site.visitor(account_id)
    await visitor.open("/account")
    answer = await visitor.send(
        "/account/passkeys/rename", credential_id=opaque_token.encode(passkey), name=" My 🔑 "
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=passkey-renamed")
    assert await names(site, account_id) == ["My 🔑"]


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "\u202eevil", "\x1b[2J"])
async def test_a_bad_name_is_refused(site: Site, name: str) -> None:
    account_id = await site.person()
    passkey = await site.passkey(account_id, name="Old")
    visitor = await site.visitor(account_id)
    answer = await visitor.send(
        "/account/passkeys/rename", credential_id=opaque_token.encode(passkey), name=name
    )
    assert answer.status_code == 400
    assert await names(site, account_id) == ["Old"]


async def test_a_passkey_is_removed_and_the_other_sessions_that_it_opened_end(site: Site) -> None:
    account_id = await site.person()
    kept, lost = [await site.passkey(account_id, name=name) for name in ("Kept", "Lost")]
    visitor = await site.visitor(account_id, credential_id=kept)
    thief = await site.visitor(account_id, credential_id=lost)
    await visitor.open("/account")
    answer = await visitor.send_confirmed("/account/passkeys/remove", credential_id=opaque_token.encode(lost))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=passkey-removed")
    assert await names(site, account_id) == ["Kept"]
    assert (await thief.open("/account")).headers["location"] == "/login"
    assert (await visitor.open("/account")).status_code == 200
    (event,) = await site.database.read(audit_log.of_account, account_id=account_id, limit=5)
    assert (event.event, event.details["name"]) == ("passkey_removed", "Lost")
    assert [(mail.kind, mail.recipient) for mail in await site.mails()] == [
        ("passkey_removed", "ada@example.com")
    ]


async def test_the_last_passkey_stays(site: Site) -> None:
    account_id = await site.person()
    passkey = await site.passkey(account_id)
    visitor = await site.visitor(account_id)
    answer = await visitor.send("/account/passkeys/remove", credential_id=opaque_token.encode(passkey))
    assert answer.status_code == 409
    assert "This is your only passkey" in answer.text
    assert len(await names(site, account_id)) == 1


async def test_of_the_last_two_removed_at_once_one_stays(site: Site) -> None:
    account_id = await site.person()
    passkeys = [await site.passkey(account_id, name=name) for name in ("One", "Two")]
    visitors = [await site.visitor(account_id) for _ in passkeys]
    for visitor in visitors:
        await visitor.open("/account")
    answers = await asyncio.gather(
        *(
            visitor.send_confirmed("/account/passkeys/remove", credential_id=opaque_token.encode(passkey))
            for visitor, passkey in zip(visitors, passkeys, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    assert len(await names(site, account_id)) == 1


async def test_removing_is_confirmed_however_fresh_the_session(site: Site) -> None:
    account_id = await site.person()
    passkeys = [await site.passkey(account_id) for _ in range(2)]
    visitor = await site.visitor(account_id)
    asked = await visitor.send("/account/passkeys/remove", credential_id=opaque_token.encode(passkeys[0]))
    assert asked.headers["location"].startswith("/confirm?operation=")
    operation = asked.headers["location"].partition("=")[2]
    for presented in (operation, "A" * 22, "x"):
        answer = await visitor.send("/account/passkeys/remove", operation=presented)
        assert answer.status_code == 403
        assert "This wasn&#39;t confirmed in time" in answer.text
    assert len(await names(site, account_id)) == 2


async def test_what_was_confirmed_is_removed_and_nothing_else(site: Site) -> None:
    account_id = await site.person()
    passkeys = [await site.passkey(account_id, name=name) for name in ("One", "Two", "Three")]
    visitor = await site.visitor(account_id)
    asked = await visitor.send("/account/passkeys/remove", credential_id=opaque_token.encode(passkeys[0]))
    operation = asked.headers["location"].partition("=")[2]
    await site.confirm(operation)
    wanted = opaque_token.encode(passkeys[1])
    for _ in range(2):
        await visitor.send("/account/passkeys/remove", operation=operation, credential_id=wanted)
    assert await names(site, account_id) == ["Three", "Two"]


async def test_two_minutes_after_asking_nothing_is_removed(site: Site) -> None:
    account_id = await site.person()
    passkeys = [await site.passkey(account_id) for _ in range(2)]
    visitor = await site.visitor(account_id)
    asked = await visitor.send("/account/passkeys/remove", credential_id=opaque_token.encode(passkeys[0]))
    operation = asked.headers["location"].partition("=")[2]
    await site.confirm(operation)
    site.clock.advance(timedelta(minutes=2))
    assert (await visitor.send("/account/passkeys/remove", operation=operation)).status_code == 403
    assert len(await names(site, account_id)) == 2


async def test_renaming_long_after_the_sign_in_is_confirmed_once_and_then_free_for_a_while(
    site: Site,
) -> None:
    account_id = await site.person()
    passkey = opaque_token.encode(await site.passkey(account_id, name="Old"))
    visitor = await site.visitor(account_id)
    site.clock.advance(timedelta(minutes=5, seconds=1))
    answer = await visitor.send_confirmed("/account/passkeys/rename", credential_id=passkey, name="New")
    assert answer.headers["location"] == "/account?done=passkey-renamed"
    assert await names(site, account_id) == ["New"]
    site.clock.advance(timedelta(minutes=4))
    answer = await visitor.send("/account/passkeys/rename", credential_id=passkey, name="Newer")
    assert answer.headers["location"] == "/account?done=passkey-renamed"
    site.clock.advance(timedelta(minutes=2))
    answer = await visitor.send("/account/passkeys/rename", credential_id=passkey, name="Newest")
    assert answer.headers["location"].startswith("/confirm?operation=")
    assert await names(site, account_id) == ["Newer"]


async def test_adding_leads_through_the_confirmation_back_to_the_account_page(site: Site) -> None:
    visitor = await site.visitor(await site.person())
    answer = await visitor.send_confirmed("/account/passkeys/add")
    location = answer.headers["location"]
    assert location.startswith("/account?add=")
    page = await visitor.open(location.removesuffix("#passkeys"))
    operation = location.partition("=")[2].removesuffix("#passkeys")
    assert f'data-operation="{operation}"' in page.text
    assert 'data-operation=""' in (await visitor.open("/account?add=javascript:alert(1)")).text


@pytest.mark.parametrize("act", ["rename", "remove"])
async def test_another_persons_passkey_is_out_of_reach(site: Site, act: str) -> None:
    ada, eve = await site.person(), await site.person(email="eve@example.com")
    passkey = await site.passkey(ada, name="Ada's")
    await site.passkey(ada, name="Other")
    for _ in range(2):
        await site.passkey(eve, name="Eve's")
    visitor = await site.visitor(eve)
    for credential_id in (opaque_token.encode(passkey), "", "=", "x" * 500, "AA"):
        answer = await visitor.send(f"/account/passkeys/{act}", credential_id=credential_id, name="Mine")
        assert answer.status_code == 404
    assert await names(site, ada) == ["Ada's", "Other"]
    assert await names(site, eve) == ["Eve's", "Eve's"]


async def test_the_apps_request_is_carried_through_the_addition(site: Site) -> None:
    visitor = await site.visitor(await site.person())
    answer = await visitor.send_confirmed("/account/passkeys/add", request="A" * 22)
    location = answer.headers["location"].removesuffix("#passkeys")
    assert location.endswith(f"&request={'A' * 22}")
    assert f'data-request="{"A" * 22}"' in (await visitor.open(location)).text
    crooked = await visitor.send_confirmed("/account/passkeys/add", request="https://evil.example")
    assert "request=" not in crooked.headers["location"]
