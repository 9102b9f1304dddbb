import re
from datetime import timedelta

import pytest

from idp import opaque_token
from idp.storage import connections, credentials, email_addresses
from tests.accounts.site import Site

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u05d0\u05d1\u05d2 \u200f\u0645\u0631\u062d\u0628\u0627",
    "👩🏽‍💻" * 12,
    "x" * 64,
)
_FORMS = (
    "/account/email/verify",
    "/account/sessions/end",
    "/account/sessions/end-all",
    "/account/sign-out",
    "/account/passkeys/rename",
    "/account/passkeys/remove",
    "/account/connections/withdraw",
    "/notice",
    "/verify-email",
)
_HEADINGS = ["Passkeys", "Sessions", "Connected apps", "E-mail", "Recovery", "Activity", "Your data"]


def assert_inert(html: str) -> None:
    """Nothing on the page runs but our own modules, and nothing is styled in place."""
    scripts = re.findall(r"<script\b[^>]*>", html)
    assert all(re.fullmatch(r'<script type="module" src="/static/[\w.?=-]+">', tag) for tag in scripts)
    assert re.search(r"<(?:img|iframe|object|embed|style)\b", html) is None
    for tag in re.findall(r"<[a-z][^>]*>", html):
        assert not re.search(r"\s(?:on\w+|style)\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
        assert not re.search(r'(?:href|src|action)="\s*javascript:', tag), tag


async def test_without_a_session_the_page_leads_to_sign_in(site: Site) -> None:
    answer = await (await site.visitor()).open("/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_the_page_shows_what_the_person_has(site: Site) -> None:
    account_id = await site.person(name="Ada Lovelace")
    laptop = await site.passkey(account_id, name="Laptop")
    await site.passkey(account_id, name="YubiKey", is_synced=False)
    client_id = await site.app_client(name="Demo App")
    await site.database.transact(
        connections.allow,
        account_id=account_id,
        client_id=client_id,
        scopes=["openid", "email", "reports:read"],
        now=site.clock(),
    )
    visitor = await site.visitor(account_id, credential_id=laptop)
    site.clock.advance(timedelta(hours=2))
    page = await visitor.open("/account")
    assert page.status_code == 200
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", page.text) == _HEADINGS
    assert page.text.count("<h1") == 1
    for words in (
        "Ada Lovelace",
        "Laptop",
        "This one signed you in",
        "Synced between your devices",
        "On one device only",
        "Not used yet",
        "Chrome on macOS",
        "This browser",
        "2 hours ago",
        "2026-07-01 12:00 UTC",
        "Demo App",
        "See your e-mail address",
        "reports:read",
        "ada@example.com",
        "Confirmed",
        "You have 2 passkeys",
    ):
        assert words in page.text
    assert page.text.count("This one signed you in") == 1
    assert page.headers["cache-control"] == "no-store"
    assert_inert(page.text)


async def test_a_passkey_that_may_have_been_copied_is_said_so(site: Site) -> None:
    account_id = await site.person()
    passkey = await site.passkey(account_id)
    await site.database.transact(
        credentials.record_use,
        credential_id=passkey,
        sign_count=1,
        backed_up=True,
        suspected_clone_at=site.clock(),
        now=site.clock(),
    )
    page = await (await site.visitor(account_id)).open("/account")
    assert "This passkey may have been copied." in page.text


async def test_recovery_is_honest_about_a_single_passkey_on_one_device(site: Site) -> None:
    account_id = await site.person()
    await site.passkey(account_id, is_synced=False)
    page = await (await site.visitor(account_id)).open("/account")
    assert "Your only passkey is on one device." in page.text


async def test_an_unverified_address_is_said_so_and_can_be_mailed_again(site: Site) -> None:
    account_id = await site.person(is_verified=False)
    page = await (await site.visitor(account_id)).open("/account")
    assert "Not confirmed yet" in page.text
    assert "Send the link again" in page.text


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_are_text_whatever_they_hold(site: Site, name: str) -> None:
    account_id = await site.person(name=name, email="o'hara+ada@example.com")
    await site.passkey(account_id, name=name)
    client_id = await site.app_client(name=name)
    await site.database.transact(
        connections.allow, account_id=account_id, client_id=client_id, scopes=[name], now=site.clock()
    )
    visitor = await site.visitor(account_id)
    page = await visitor.open("/account")
    assert page.status_code == 200
    assert_inert(page.text)
    assert name not in page.text or not set(name) & set("<>\"'")
    for activity in ("x", "'\"><script>", name):
        assert_inert((await visitor.client.get("/account", params={"done": activity})).text)


async def test_what_was_done_is_said_in_our_own_words_alone(site: Site) -> None:
    visitor = await site.visitor(await site.person())
    said = await visitor.open("/account?done=passkey-renamed")
    assert "The passkey has its new name." in said.text
    made_up = await visitor.open("/account?done=Send+money+to+Eve")
    assert "money" not in made_up.text


async def test_another_persons_things_are_nowhere_on_the_page(site: Site) -> None:
    eve = await site.person(email="eve@example.com", name="Eve")
    await site.passkey(eve, name="Eve's phone")
    page = await (await site.visitor(await site.person())).open("/account")
    assert "Eve" not in page.text
    assert "eve@example.com" not in page.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}]
)
async def test_a_form_that_is_not_ours_changes_nothing(site: Site, headers: dict[str, str]) -> None:
    account_id = await site.person(is_verified=False)
    passkey = await site.passkey(account_id)
    await site.passkey(account_id)
    visitor = await site.visitor(account_id)
    await visitor.open("/account")
    before = await site.database.read(credentials.of_account, account_id=account_id)
    fields = {"credential_id": opaque_token.encode(passkey), "name": "Eve", "csrf_token": "x" * 43}
    for address in _FORMS:
        answer = await visitor.client.post(address, data=fields, headers=headers)
        assert answer.status_code == 403
        assert "Nothing was changed" in answer.text
    assert await site.database.read(credentials.of_account, account_id=account_id) == before
    assert (await visitor.open("/account")).status_code == 200
    assert await site.mails() == []


async def test_signed_out_every_form_leads_to_sign_in(site: Site) -> None:
    visitor = await site.visitor()
    for address in _FORMS:
        answer = await visitor.send(address, token="x")
        assert answer.status_code == 401
        assert 'href="/login"' in answer.text


async def test_a_person_without_an_address_has_a_page(site: Site) -> None:
    account_id = await site.person(email=None)
    page = await (await site.visitor(account_id)).open("/account")
    assert "Your account has no e-mail address." in page.text
    assert await site.database.read(email_addresses.of_account, account_id=account_id) == []
