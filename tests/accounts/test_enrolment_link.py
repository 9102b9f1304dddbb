import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from idp import opaque_token
from idp.accounts import enrolment_link
from idp.accounts.email_address import check
from idp.storage import accounts, credentials, email_addresses, enrolments
from tests.accounts.site import Site

EMAIL = check("ada@example.com")


async def invite(site: Site, *, name: str = "Ada", role: str | None = None) -> str:
    return await site.database.transact(
        enrolment_link.create_invitation, email=EMAIL, name=name, role=role, now=site.clock()
    )


async def first_administrator(site: Site) -> str | None:
    return await site.database.transact(enrolment_link.create_first_administrator_link, now=site.clock())


async def account_of(site: Site, token: str) -> accounts.Account:
    enrolment = await site.database.read(
        enrolments.peek, token_sha256=opaque_token.sha256(token), now=site.clock()
    )
    assert enrolment is not None
    account = await site.database.read(accounts.find, account_id=enrolment.account_id)
    assert account is not None
    return account


async def make_administrator(site: Site) -> str:
    account_id = await site.person(email="owner@example.com")
    await site.database.transact(accounts.set_role, account_id=account_id, role="owner", now=site.clock())
    return account_id


async def test_an_invitation_shows_whom_it_is_for_and_starts_the_enrolment(site: Site) -> None:
    token = await invite(site, role="administrator")
    visitor = await site.visitor()
    page = await visitor.open(f"/enrol?token={token}")
    assert page.status_code == 200
    assert "ada@example.com" in page.text
    assert 'id="email"' not in page.text
    answer = await visitor.send_json("/enrol", token=token, name="Ada L.", email="eve@example.com")
    assert answer.json() == {"enrolment": token}
    account = await account_of(site, token)
    assert (account.name, account.status, account.role) == ("Ada L.", "pending", "administrator")
    addresses = await site.database.read(email_addresses.of_account, account_id=account.id)
    assert [(one.normalized, one.verified_at) for one in addresses] == [("ada@example.com", None)]
    (mail,) = await site.mails()
    assert (mail.kind, mail.recipient) == ("verify_email", "ada@example.com")


async def test_looking_at_a_link_changes_nothing(site: Site) -> None:
    token = await invite(site)
    visitor = await site.visitor()
    await visitor.client.head(f"/enrol?token={token}")
    for _ in range(3):
        assert (await visitor.open(f"/enrol?token={token}")).status_code == 200
    assert (await account_of(site, token)).name == "Ada"
    assert await site.mails() == []


async def test_an_invitation_ends_after_a_week(site: Site) -> None:
    token = await invite(site)
    site.clock.advance(7 * 86_400)
    visitor = await site.visitor()
    page = await visitor.open(f"/enrol?token={token}")
    assert page.status_code == 404
    answer = await visitor.send_json("/enrol", token=token, name="Ada")
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_link")


@pytest.mark.parametrize("token", ["", "x", "x" * 43])
async def test_made_up_links_read_like_old_ones(site: Site, token: str) -> None:
    visitor = await site.visitor()
    page = await visitor.open(f"/enrol?token={token}")
    assert page.status_code == 404
    assert "doesn&#39;t work any more" in page.text
    answer = await visitor.send_json("/enrol", token=token, name="Ada", email="ada@example.com")
    assert answer.status_code == 404


async def test_the_token_of_a_sign_up_is_no_link(site: Site) -> None:
    visitor = await site.visitor()
    token = (await visitor.send_json("/signup", email="ada@example.com", name="Ada")).json()["enrolment"]
    assert (await visitor.open(f"/enrol?token={token}")).status_code == 404
    assert (await visitor.send_json("/enrol", token=token, name="Eve")).status_code == 404
    assert (await account_of(site, token)).name == "Ada"


async def test_the_first_administrator_names_their_address_and_may_correct_it(site: Site) -> None:
    token = await first_administrator(site)
    assert token is not None
    visitor = await site.visitor()
    page = await visitor.open(f"/enrol?token={token}")
    assert "Set up the first administrator" in page.text
    assert 'id="email"' in page.text
    for email in ("typo@example.com", "ada@example.com"):
        answer = await visitor.send_json("/enrol", token=token, name="Ada", email=email)
        assert answer.json() == {"enrolment": token}
    account = await account_of(site, token)
    assert (account.name, account.status, account.role) == ("Ada", "pending", "owner")
    addresses = await site.database.read(email_addresses.of_account, account_id=account.id)
    assert [one.address for one in addresses] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "Ada", "email": "a@x,b@y"}, "invalid_email"),
        ({"name": "Ada"}, "invalid_email"),
        ({"name": "\u202e", "email": "ada@example.com"}, "invalid_name"),
        ({"email": "ada@example.com"}, "invalid_name"),
    ],
)
async def test_a_bad_name_or_address_is_refused_and_nothing_changes(
    site: Site, fields: dict[str, str], code: str
) -> None:
    token = await first_administrator(site)
    assert token is not None
    answer = await (await site.visitor()).send_json("/enrol", token=token, **fields)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    account = await account_of(site, token)
    assert account.name == ""
    assert await site.database.read(email_addresses.of_account, account_id=account.id) == []


async def test_setting_up_is_over_once_there_is_an_administrator(site: Site) -> None:
    token = await first_administrator(site)
    await make_administrator(site)
    assert await first_administrator(site) is None
    visitor = await site.visitor()
    assert (await visitor.open(f"/enrol?token={token}")).status_code == 404
    answer = await visitor.send_json("/enrol", token=token, name="Eve", email="eve@example.com")
    assert answer.status_code == 404


async def test_an_invited_administrator_who_never_came_is_none(site: Site) -> None:
    await invite(site, role="administrator")
    assert await first_administrator(site) is not None


async def test_a_new_set_up_link_ends_the_older_one(site: Site) -> None:
    old, new = await first_administrator(site), await first_administrator(site)
    visitor = await site.visitor()
    assert (await visitor.open(f"/enrol?token={old}")).status_code == 404
    assert (await visitor.open(f"/enrol?token={new}")).status_code == 200


async def test_of_eight_set_ups_at_once_one_link_works(site: Site) -> None:
    tokens = await asyncio.gather(*(first_administrator(site) for _ in range(8)))
    assert len({token for token in tokens if token}) == 8
    visitor = await site.visitor()
    statuses = [(await visitor.open(f"/enrol?token={token}")).status_code for token in tokens]
    assert sorted(statuses) == [200] + [404] * 7


async def test_a_recovery_link_changes_neither_name_nor_address(site: Site) -> None:
    account_id = await site.person(name="Ada")
    token = await site.database.transact(
        enrolment_link.create_recovery_link, account_id=account_id, now=site.clock()
    )
    assert token is not None
    visitor = await site.visitor()
    page = await visitor.open(f"/enrol?token={token}")
    assert "Give your account a new passkey" in page.text
    answer = await visitor.send_json("/enrol", token=token, name="Eve", email="eve@example.com")
    assert answer.json() == {"enrolment": token}
    assert (await account_of(site, token)).name == "Ada"
    addresses = await site.database.read(email_addresses.of_account, account_id=account_id)
    assert [one.address for one in addresses] == ["ada@example.com"]
    assert await site.database.read(credentials.of_account, account_id=account_id) == []


async def test_a_disabled_account_gets_no_recovery_link_and_its_old_one_is_void(site: Site) -> None:
    account_id = await site.person()

    async def recover() -> str | None:
        return await site.database.transact(
            enrolment_link.create_recovery_link, account_id=account_id, now=site.clock()
        )

    token = await recover()
    await site.database.transact(
        accounts.set_status, account_id=account_id, status="disabled", now=site.clock()
    )
    assert await recover() is None
    assert (await (await site.visitor()).open(f"/enrol?token={token}")).status_code == 404


async def test_starts_of_one_link_at_once_leave_one_address(site: Site) -> None:
    token = await first_administrator(site)
    assert token is not None
    visitor = await site.visitor()
    await visitor.open(f"/enrol?token={token}")
    answers = await asyncio.gather(
        *(visitor.send_json("/enrol", token=token, name="Ada", email=f"a{n}@example.com") for n in range(6))
    )
    assert [answer.status_code for answer in answers] == [200] * 6
    account = await account_of(site, token)
    assert len(await site.database.read(email_addresses.of_account, account_id=account.id)) == 1


async def test_another_sites_page_starts_nothing(site: Site) -> None:
    token = await invite(site)
    visitor = await site.visitor()
    await visitor.open(f"/enrol?token={token}")
    answer = await visitor.client.post(
        "/enrol", json={"token": token, "name": "Eve"}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert (await account_of(site, token)).name == "Ada"


def test_the_token_is_never_logged(sqlite_url: str) -> None:
    # A process of its own: the log is set up once for a process, and remembers where it wrote first.
    answer = subprocess.run(
        [sys.executable, "-c", _OPEN_A_LINK, sqlite_url],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    token = answer.stdout.strip()
    assert len(token) == 43
    assert answer.stderr.count('"path": "/enrol"') == 3
    assert token not in answer.stderr


_OPEN_A_LINK = """
import asyncio, sys
from idp.web import log
from tests.accounts.site import Site
from tests.accounts.test_enrolment_link import invite
from tests.support.databases import open_for_test
from tests.support.frozen_clock import FrozenClock

async def main():
    database = open_for_test(sys.argv[1])
    site = Site(database, FrozenClock())
    token = await invite(site)
    visitor = await site.visitor()
    await visitor.open(f"/enrol?token={token}")
    await visitor.send_json("/enrol", token=token, name="Ada")
    await visitor.open(f"/enrol?token={token}x")
    await database.close()
    print(token)

log.configure(log_format="json", log_level="debug")
asyncio.run(main())
"""
