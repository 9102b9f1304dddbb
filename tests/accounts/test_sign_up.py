import asyncio
import statistics
import time

import pytest

from idp import opaque_token
from idp.settings import RateLimit, Settings
from idp.storage import accounts, email_addresses, enrolments
from idp.storage.database import Database
from tests.accounts.site import ORIGIN, Site
from tests.support.frozen_clock import FrozenClock


async def account_of(site: Site, token: str) -> accounts.Account:
    enrolment = await site.database.read(
        enrolments.peek, token_sha256=opaque_token.sha256(token), now=site.clock()
    )
    assert enrolment is not None
    account = await site.database.read(accounts.find, account_id=enrolment.account_id)
    assert account is not None
    return account


async def everyone(site: Site) -> list[accounts.Account]:
    return await site.database.read(accounts.search, after="", limit=100)


async def test_signing_up_begins_an_account_and_mails_a_link(site: Site) -> None:
    visitor = await site.visitor()
    page = await visitor.open("/signup")
    assert page.status_code == 200
    answer = await visitor.send_json("/signup", email="Ada@Example.com", name=" Ada ")
    assert answer.status_code == 200
    assert list(answer.json()) == ["enrolment"]
    assert answer.headers["cache-control"] == "no-store"
    account = await account_of(site, answer.json()["enrolment"])
    assert (account.name, account.status, account.role) == ("Ada", "pending", None)
    assert len(account.user_handle) == 32
    addresses = await site.database.read(email_addresses.of_account, account_id=account.id)
    assert [(one.normalized, one.verified_at) for one in addresses] == [("ada@example.com", None)]
    (mail,) = await site.mails()
    assert (mail.kind, mail.recipient) == ("verify_email", "Ada@example.com")
    assert mail.link.startswith("/verify-email?token=")


async def test_the_right_to_enrol_is_bound_to_the_browser_and_ends_after_a_quarter_of_an_hour(
    site: Site,
) -> None:
    visitor = await site.visitor()
    token = (await visitor.send_json("/signup", email="ada@example.com", name="Ada")).json()["enrolment"]
    sha256 = opaque_token.sha256(token)
    enrolment = await site.database.read(enrolments.peek, token_sha256=sha256, now=site.clock())
    assert enrolment is not None
    assert enrolment.kind == "sign_up"
    assert enrolment.browser_sha256 == opaque_token.sha256(visitor.client.cookies["idp-browser"])
    site.clock.advance(15 * 60)
    assert await site.database.read(enrolments.peek, token_sha256=sha256, now=site.clock()) is None


async def test_a_known_address_gets_the_same_answer_and_its_holder_a_mail(site: Site) -> None:
    await site.person(email="Known@Example.com")
    unknown = await (await site.visitor()).send_json("/signup", email="new@example.com", name="Ada")
    known = await (await site.visitor()).send_json("/signup", email="\uff4bnown@example.com", name="Ada")
    assert unknown.status_code == known.status_code == 200
    assert list(unknown.json()) == list(known.json())
    assert len(unknown.json()["enrolment"]) == len(known.json()["enrolment"])
    varying = {"x-request-id", "set-cookie"}
    assert [(k, v) for k, v in unknown.headers.items() if k not in varying] == [
        (k, v) for k, v in known.headers.items() if k not in varying
    ]
    mails = await site.mails()
    assert sorted((mail.kind, mail.recipient) for mail in mails) == [
        ("address_in_use", "Known@example.com"),
        ("verify_email", "new@example.com"),
    ]


async def test_a_known_address_takes_as_long_as_an_unknown_one(
    database: Database, clock: FrozenClock
) -> None:
    site = Site(
        database, clock, Settings(rate_limit=RateLimit(sign_in="1000 per minute", mail="1000 per hour"))
    )
    await site.person(email="known@example.com")
    visitor = await site.visitor()
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    for turn in range(40):
        for kind, email in (("known", "known@example.com"), ("unknown", f"new{turn}@example.com")):
            started = time.perf_counter()
            answer = await visitor.send_json("/signup", email=email, name="Ada")
            times[kind].append(time.perf_counter() - started)
            assert answer.status_code == 200
    known, unknown = (statistics.median(times[kind]) for kind in ("known", "unknown"))
    # The same statements run for both; the factor only forgives a noisy machine.
    assert known < 2 * unknown
    assert unknown < 2 * known


async def test_nobody_can_squat_on_an_address(site: Site) -> None:
    squatter = await (await site.visitor()).send_json("/signup", email="ada@example.com", name="Eve")
    owner = await (await site.visitor()).send_json("/signup", email="ada@example.com", name="Ada")
    assert squatter.status_code == owner.status_code == 200
    assert [mail.kind for mail in await site.mails()] == ["verify_email", "verify_email"]
    assert await site.database.read(email_addresses.holder, normalized="ada@example.com") is None


async def test_a_mailbox_gets_a_few_mails_an_hour_and_the_answer_stays_the_same(
    database: Database, clock: FrozenClock
) -> None:
    settings = Settings(rate_limit=RateLimit(sign_in="1000 per minute", mail="2 per hour"))
    site = Site(database, clock, settings)
    for spelling in ("ada@example.com", "ADA@example.com", "\uff41da@EXAMPLE.com", "ada@example.com"):
        answer = await (await site.visitor()).send_json("/signup", email=spelling, name="Ada")
        assert answer.status_code == 200
        assert list(answer.json()) == ["enrolment"]
    assert len(await site.mails()) == 2


async def test_strangers_are_counted_by_address(database: Database, clock: FrozenClock) -> None:
    site = Site(database, clock, Settings(rate_limit=RateLimit(sign_in="3 per minute")))
    visitor = await site.visitor()
    await visitor.open("/recover")
    for _ in range(3):
        assert (await visitor.send_json("/signup", email="ada@example.com", name="Ada")).status_code == 200
    refused = await visitor.send_json("/signup", email="ada@example.com", name="Ada")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("email", "name", "code"),
    [
        ("a@x,b@y", "Ada", "invalid_email"),
        ('"a@x,b"@y', "Ada", "invalid_email"),
        ("a@x b@y", "Ada", "invalid_email"),
        ("a@x@y", "Ada", "invalid_email"),
        ("ada@example.com\r\nBcc: eve@example.com", "Ada", "invalid_email"),
        ("", "Ada", "invalid_email"),
        ("ada@example.com", "", "invalid_name"),
        ("ada@example.com", "x" * 65, "invalid_name"),
        ("ada@example.com", "Ada\r\nBcc: eve@example.com", "invalid_name"),
        ("ada@example.com", "adA\u202e", "invalid_name"),
    ],
)
async def test_what_is_no_address_or_no_name_begins_nothing(
    site: Site, email: str, name: str, code: str
) -> None:
    answer = await (await site.visitor()).send_json("/signup", email=email, name=name)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert await everyone(site) == []
    assert await site.mails() == []


@pytest.mark.parametrize("value", [1, None, ["ada@example.com"], {"a": 1}, True])
async def test_fields_of_other_kinds_begin_nothing(site: Site, value: object) -> None:
    answer = await (await site.visitor()).send_json("/signup", email=value, name="Ada")
    assert answer.status_code == 400
    assert await everyone(site) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": "x" * 43},
    ],
)
async def test_another_sites_page_begins_nothing(site: Site, headers: dict[str, str]) -> None:
    visitor = await site.visitor()
    csrf = (await visitor.open("/signup")).text.partition('data-csrf="')[2][:43]
    answer = await visitor.client.post(
        "/signup",
        json={"email": "ada@example.com", "name": "Ada"},
        headers={"Origin": ORIGIN, "X-CSRF-Token": csrf, **headers},
    )
    assert (answer.status_code, answer.json()["error"]) == (403, "forged_request")
    assert await everyone(site) == []


async def test_a_form_instead_of_json_is_refused_unread(site: Site) -> None:
    visitor = await site.visitor()
    answer = await visitor.send("/signup", email="ada@example.com", name="Ada")
    assert answer.status_code == 415
    assert await everyone(site) == []


async def test_with_invitations_only_page_and_start_are_refused_plainly(
    database: Database, clock: FrozenClock
) -> None:
    site = Site(database, clock, Settings(signup="invite"))
    visitor = await site.visitor()
    page = await visitor.open("/signup")
    assert page.status_code == 403
    assert "by invitation" in page.text
    answer = await visitor.send_json("/signup", email="ada@example.com", name="Ada")
    assert (answer.status_code, answer.json()["error"]) == (403, "signup_closed")
    assert await everyone(site) == []


async def test_many_sign_ups_with_one_address_at_once_all_begin(site: Site) -> None:
    visitors = [await site.visitor() for _ in range(8)]
    for visitor in visitors:
        await visitor.open("/signup")
    answers = await asyncio.gather(
        *(visitor.send_json("/signup", email="ada@example.com", name="Ada") for visitor in visitors)
    )
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["enrolment"] for answer in answers}) == 8
    assert len(await everyone(site)) == 8
    assert len(await site.mails()) == 5
