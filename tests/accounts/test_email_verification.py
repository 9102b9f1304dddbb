import asyncio

import pytest

from idp.storage import audit_log, email_addresses
from tests.accounts.site import Mail, Site, Visitor


async def claim(
    site: Site, *, email: str = "ada@example.com", name: str = "Ada"
) -> tuple[str, Visitor, Mail]:
    """Make an account that claims an address, sign it in and mail it the link."""
    account_id = await site.person(email=email, is_verified=False, name=name)
    await site.passkey(account_id)
    visitor = await site.visitor(account_id)
    (own,) = await site.database.read(email_addresses.of_account, account_id=account_id)
    sent = await visitor.send("/account/email/verify", email_id=own.id)
    assert (sent.status_code, sent.headers["location"]) == (303, "/account?done=link-sent#e-mail")
    (mail,) = await site.mails()
    return account_id, visitor, mail


def token_of(mail: Mail) -> str:
    return mail.link.partition("token=")[2]


async def holder(site: Site, normalized: str = "ada@example.com") -> str | None:
    return await site.database.read(email_addresses.holder, normalized=normalized)


async def test_the_link_verifies_the_address_of_whoever_claimed_it_once(site: Site) -> None:
    account_id, visitor, mail = await claim(site)
    assert (mail.kind, mail.recipient) == ("verify_email", "ada@example.com")
    page = await visitor.open(mail.link)
    assert page.status_code == 200
    assert "ada@example.com" in page.text
    assert await holder(site) is None
    done = await visitor.send("/verify-email", token=token_of(mail))
    assert (done.status_code, done.headers["location"]) == (303, "/account?done=email-verified")
    assert await holder(site) == account_id
    again = await visitor.send("/verify-email", token=token_of(mail))
    assert again.status_code == 404
    events = await site.database.read(audit_log.of_account, account_id=account_id, limit=10)
    assert [(event.event, event.outcome) for event in events] == [("email_verified", "success")]


async def test_opening_the_link_changes_nothing_however_often(site: Site) -> None:
    account_id, visitor, mail = await claim(site)
    scanner = await site.visitor()
    await scanner.client.head(mail.link)
    for _ in range(5):
        assert (await scanner.open(mail.link)).status_code == 200
        assert (await visitor.open(mail.link)).status_code == 200
    assert await holder(site) is None
    assert (await visitor.send("/verify-email", token=token_of(mail))).status_code == 303
    assert await holder(site) == account_id


async def test_signed_out_the_page_asks_to_sign_in_and_tells_nothing_of_the_link(site: Site) -> None:
    _, _, mail = await claim(site)
    stranger = await site.visitor()
    real = await stranger.open(mail.link)
    made_up = await stranger.open("/verify-email?token=" + "x" * 43)
    nothing = await stranger.open("/verify-email")
    assert real.text == made_up.text == nothing.text
    assert "ada@example.com" not in real.text
    assert "Sign in on this device first" in real.text
    answer = await stranger.send("/verify-email", token=token_of(mail))
    assert answer.status_code == 401
    assert await holder(site) is None


async def test_in_another_account_the_link_reads_like_an_unknown_one_and_stays_good(site: Site) -> None:
    account_id, visitor, mail = await claim(site)
    eve = await site.visitor(await site.person(email="eve@example.com", name="Eve"))
    real = await eve.open(mail.link)
    made_up = await eve.open("/verify-email?token=" + "x" * 43)
    assert real.status_code == made_up.status_code == 404
    assert real.text.partition("Reference")[0] == made_up.text.partition("Reference")[0]
    assert "ada@example.com" not in real.text
    await eve.open("/account")
    assert (await eve.send("/verify-email", token=token_of(mail))).status_code == 404
    assert await holder(site) is None
    await visitor.open(mail.link)
    assert (await visitor.send("/verify-email", token=token_of(mail))).status_code == 303
    assert await holder(site) == account_id


async def test_a_link_is_used_once_whatever_races(site: Site) -> None:
    account_id, visitor, mail = await claim(site)
    await visitor.open(mail.link)
    answers = await asyncio.gather(*(visitor.send("/verify-email", token=token_of(mail)) for _ in range(16)))
    assert sorted(answer.status_code for answer in answers) == [303] + [404] * 15
    assert await holder(site) == account_id


async def test_two_accounts_that_verify_one_address_at_once_leave_one_holder(site: Site) -> None:
    claims = [await claim(site, name=name) for name in ("Ada", "Eve")]
    for _, visitor, mail in claims:
        await visitor.open(mail.link)
    answers = await asyncio.gather(
        *(visitor.send("/verify-email", token=token_of(mail)) for _, visitor, mail in claims)
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    winner = next(index for index, answer in enumerate(answers) if answer.status_code == 303)
    assert await holder(site) == claims[winner][0]


async def test_an_address_that_another_account_holds_is_refused_for_good(site: Site) -> None:
    eve_id, eve, eves_mail = await claim(site, name="Eve")
    _, visitor, mail = await claim(site)
    await visitor.open(mail.link)
    assert (await visitor.send("/verify-email", token=token_of(mail))).status_code == 303
    await eve.open(eves_mail.link)
    refused = await eve.send("/verify-email", token=token_of(eves_mail))
    assert refused.status_code == 409
    assert "belongs to another account" in refused.text
    (own,) = await site.database.read(email_addresses.of_account, account_id=eve_id)
    assert own.verified_at is None
    # What the stranger asks for from now on reaches the holder as a warning, never as a link.
    await eve.open("/account")
    assert (await eve.send("/account/email/verify", email_id=own.id)).status_code == 303
    (mail,) = await site.mails()
    assert (mail.kind, mail.recipient, mail.link) == ("address_in_use", "ada@example.com", "")


async def test_a_link_ends_after_a_day(site: Site) -> None:
    account_id, _, mail = await claim(site)
    site.clock.advance(24 * 3600)
    visitor = await site.visitor(account_id)
    assert (await visitor.open(mail.link)).status_code == 404
    await visitor.open("/account")
    assert (await visitor.send("/verify-email", token=token_of(mail))).status_code == 404
    assert await holder(site) is None


async def test_a_new_link_ends_the_older_one(site: Site) -> None:
    account_id, visitor, old = await claim(site)
    (own,) = await site.database.read(email_addresses.of_account, account_id=account_id)
    await visitor.send("/account/email/verify", email_id=own.id)
    (new,) = await site.mails()
    await visitor.open(new.link)
    assert (await visitor.send("/verify-email", token=token_of(old))).status_code == 404
    assert (await visitor.send("/verify-email", token=token_of(new))).status_code == 303
    assert await holder(site) == account_id


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "\u00e4" * 43, "x" * 2000])
async def test_made_up_links_verify_nothing(site: Site, token: str) -> None:
    _, visitor, _ = await claim(site)
    await visitor.open("/account")
    assert (await visitor.send("/verify-email", token=token)).status_code == 404
    assert await holder(site) is None


async def test_a_form_from_another_site_verifies_nothing(site: Site) -> None:
    _, visitor, mail = await claim(site)
    await visitor.open(mail.link)
    answer = await visitor.client.post(
        "/verify-email", data={"token": token_of(mail)}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert await holder(site) is None


async def test_nobody_sends_a_link_for_an_address_of_another_account(site: Site) -> None:
    account_id, _, _ = await claim(site)
    (own,) = await site.database.read(email_addresses.of_account, account_id=account_id)
    eve = await site.visitor(await site.person(email="eve@example.com"))
    assert (await eve.send("/account/email/verify", email_id=own.id)).status_code == 404
    assert await site.mails() == []


async def test_a_verified_address_gets_no_more_links(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    (own,) = await site.database.read(email_addresses.of_account, account_id=account_id)
    assert (await visitor.send("/account/email/verify", email_id=own.id)).status_code == 303
    assert await site.mails() == []
