import asyncio
from datetime import timedelta

import pytest

from idp.storage import email_addresses
from idp.storage.email_addresses import EmailAddress
from tests.accounts.site import Site, Visitor


async def own(site: Site, account_id: str) -> list[EmailAddress]:
    return await site.database.read(email_addresses.of_account, account_id=account_id)


async def told(site: Site) -> list[tuple[str, str]]:
    return sorted((mail.kind, mail.recipient) for mail in await site.mails())


async def add_verified(site: Site, visitor: Visitor, address: str) -> None:
    await visitor.send_confirmed("/account/email/add", email=address)
    link = next(mail.link for mail in await site.mails() if mail.link)
    await visitor.open(link)
    answer = await visitor.send("/verify-email", token=link.partition("=")[2])
    assert answer.status_code == 303


async def test_an_address_is_added_when_confirmed_and_both_mailboxes_are_told(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    answer = await visitor.send_confirmed("/account/email/add", email="Ada@New.example")
    assert answer.headers["location"] == "/account?done=email-added#e-mail"
    added = next(one for one in await own(site, account_id) if one.normalized == "ada@new.example")
    assert (added.is_primary, added.verified_at) == (False, None)
    assert await told(site) == [("email_added", "ada@example.com"), ("verify_email", "Ada@new.example")]


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("/account/email/add", {"email": "new@example.com"}),
        ("/account/email/make-primary", {"email_id": "?"}),
        ("/account/email/remove", {"email_id": "?"}),
        ("/account/delete", {}),
    ],
)
async def test_nothing_sensitive_happens_unconfirmed_however_fresh_the_session(
    site: Site, address: str, fields: dict[str, str]
) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await add_verified(site, visitor, "second@example.com")
    await site.mails()
    before = await own(site, account_id)
    if "email_id" in fields:
        fields = {"email_id": before[1].id}
    asked = await visitor.send(address, **fields)
    operation = asked.headers["location"].removeprefix("/confirm?operation=")
    assert (await visitor.send(address, operation=operation)).status_code == 403
    assert await own(site, account_id) == before
    assert await told(site) == []


async def test_making_another_address_the_main_one_tells_both(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await add_verified(site, visitor, "new@example.com")
    await site.mails()
    second = (await own(site, account_id))[1]
    await visitor.send_confirmed("/account/email/make-primary", email_id=second.id)
    assert [(one.address, one.is_primary) for one in await own(site, account_id)] == [
        ("new@example.com", True),
        ("ada@example.com", False),
    ]
    assert await told(site) == [
        ("primary_email_changed", "ada@example.com"),
        ("primary_email_changed", "new@example.com"),
    ]


async def test_an_address_that_nobody_verified_does_not_become_the_main_one(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await visitor.send_confirmed("/account/email/add", email="new@example.com")
    second = (await own(site, account_id))[1]
    answer = await visitor.send("/account/email/make-primary", email_id=second.id)
    assert answer.status_code == 409


async def test_a_removed_address_is_told_one_last_time_and_the_main_one_stays(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await add_verified(site, visitor, "old@example.com")
    await site.mails()
    first, second = await own(site, account_id)
    assert (await visitor.send("/account/email/remove", email_id=first.id)).status_code == 409
    await visitor.send_confirmed("/account/email/remove", email_id=second.id)
    assert [one.id for one in await own(site, account_id)] == [first.id]
    assert await told(site) == [("email_removed", "ada@example.com"), ("email_removed", "old@example.com")]


async def test_another_persons_address_is_out_of_reach(site: Site) -> None:
    ada, eve = await site.person(), await site.person(email="eve@example.com")
    (address,) = await own(site, ada)
    visitor = await site.visitor(eve)
    for act in ("make-primary", "remove"):
        for email_id in (address.id, "", "x"):
            assert (await visitor.send(f"/account/email/{act}", email_id=email_id)).status_code == 404


async def test_an_address_is_added_once_and_at_most_ten_are_held(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    assert (await visitor.send("/account/email/add", email="ADA@example.com")).status_code == 409
    for number in range(9):
        await visitor.send_confirmed("/account/email/add", email=f"{number}@example.com")
    assert (await visitor.send("/account/email/add", email="last@example.com")).status_code == 409
    assert len(await own(site, account_id)) == 10


async def test_a_mailbox_that_got_enough_is_written_to_no_more(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    for _ in range(5):
        await visitor.send("/account/email/add", email="victim@example.com")
    answer = await visitor.send("/account/email/add", email="victim@example.com")
    assert answer.status_code == 429
    assert await told(site) == []


async def test_confirmed_once_and_sent_twice_at_once_an_address_is_added_once(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    asked = await visitor.send("/account/email/add", email="new@example.com")
    operation = asked.headers["location"].partition("=")[2]
    await site.confirm(operation)
    answers = await asyncio.gather(
        *(visitor.send("/account/email/add", operation=operation) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [303, 403, 403, 403]
    assert len(await own(site, account_id)) == 2


async def test_signing_out_everywhere_tells_every_verified_address(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    await add_verified(site, visitor, "second@example.com")
    await visitor.send_confirmed("/account/email/add", email="unverified@example.com")
    await site.mails()
    site.clock.advance(timedelta(seconds=1))
    await visitor.open("/account")
    await visitor.send("/account/sessions/end-all")
    assert await told(site) == [
        ("signed_out_everywhere", "ada@example.com"),
        ("signed_out_everywhere", "second@example.com"),
    ]
