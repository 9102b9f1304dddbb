import asyncio
from typing import Any

import pytest

from idp import opaque_token
from idp.passkeys import passkey_name
from idp.storage import accounts
from tests.passkeys.site import ISSUER, SESSION_COOKIE, PasskeySite, VisitingBrowser, assert_refused
from tests.support.software_authenticator import SoftwareAuthenticator


async def test_a_signed_in_person_adds_a_passkey_and_stays_signed_in(site: PasskeySite) -> None:
    person = await site.person()
    [session] = await site.sessions_of(person.account_id)
    another = SoftwareAuthenticator()

    answer = await person.browser.add(another, name="  Ada's 👩‍🚀 key  ")

    assert (answer.status_code, answer.json()) == (200, {"continue": "/account?done=passkey-added"})
    names = {credential.name for credential in await site.credentials_of(person.account_id)}
    assert names == {"Passkey", "Ada's 👩‍🚀 key"}
    assert [kept.id for kept in await site.sessions_of(person.account_id)] == [session.id]
    assert (await site.browser().sign_in(another)).status_code == 200


async def test_options_name_the_passkeys_that_the_account_has(site: PasskeySite) -> None:
    person = await site.person()

    options = await person.browser.addition_options()

    assert options["excludeCredentials"] == [
        {
            "type": "public-key",
            "id": opaque_token.encode(person.passkey.id),
            "transports": ["hybrid", "internal"],
        }
    ]
    assert options["user"]["name"] == "ada@example.com"


@pytest.mark.parametrize(
    ("aaguid", "name"),
    [
        ("fbfc3007-154e-4ecc-8c0b-6e020557d7bd", "iCloud Keychain"),
        ("ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", "Google Password Manager"),
        ("08987058-cadc-4b81-b6e1-30de50dcbe96", "Windows Hello"),
        ("d548826e-79b4-db40-a3d8-11116f7e8349", "Bitwarden"),
        ("2fc0579f-8113-47ea-b116-bb5a8db9202a", "YubiKey 5 NFC"),
        ("00000000-0000-0000-0000-000000000000", "Passkey"),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", "Passkey"),
    ],
)
async def test_a_passkey_is_called_after_its_maker(site: PasskeySite, aaguid: str, name: str) -> None:
    person = await site.person()

    await person.browser.add(SoftwareAuthenticator(aaguid=bytes.fromhex(aaguid.replace("-", ""))))

    known = await site.credentials_of(person.account_id)
    [added] = [credential for credential in known if credential.id != person.passkey.id]
    assert (added.name, added.aaguid) == (name, aaguid)


@pytest.mark.parametrize(
    "name",
    [
        "x" * 65,
        "a\nb",
        '\n{"level":"error"}',
        "\x1b[31mred",
        "\u202etxt.exe",
        "\x00",
        " ",
        7,
        ["a"],
        "x" * 30_000,
    ],
)
async def test_a_name_that_is_no_short_plain_text_is_refused(site: PasskeySite, name: Any) -> None:
    person = await site.person()
    await person.browser.confirmed()  # Which notes that the passkey was used.
    before = await site.digest()

    answer = await person.browser.add(SoftwareAuthenticator(), name=name)

    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_name", "invalid_request"}
    assert await site.digest() == before


def test_names_of_64_characters_in_any_script_are_fine() -> None:
    for name in ("x" * 64, "مفتاح", "鍵", "Schlüssel für den Dachboden", "🔑"):
        assert passkey_name.chosen(name) == name


async def test_however_fresh_the_sign_in_adding_is_confirmed_by_itself(site: PasskeySite) -> None:
    # Keycloak CVE-2026-3429: a session alone, fresh or not, adds no factor.
    person = await site.person()
    before = await site.digest()

    for body in ({}, {"operation": ""}, {"operation": 7}, {"operation": "A" * 22}):
        answer = await person.browser.post("/passkeys/addition/options", body)
        assert_refused(answer, status=403, code="confirmation_required")
    assert await site.digest() == before


async def test_an_operation_that_nobody_confirmed_adds_nothing(site: PasskeySite) -> None:
    person = await site.person()
    operation = await person.browser.ask()

    answer = await person.browser.post("/passkeys/addition/options", {"operation": operation})

    assert_refused(answer, status=403, code="confirmation_required")


async def test_a_confirmation_adds_one_passkey_and_not_two(site: PasskeySite) -> None:
    person = await site.person()
    operation = await person.browser.confirmed()
    asked = [person.browser.post("/passkeys/addition/options", {"operation": operation}) for _ in range(4)]

    answers = await asyncio.gather(*asked)

    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403]


async def test_a_confirmation_of_another_operation_adds_nothing(site: PasskeySite) -> None:
    person = await site.person()
    operation = await person.browser.ask("account.export")
    assert (await person.browser.confirm(operation)).status_code == 200

    answer = await person.browser.post("/passkeys/addition/options", {"operation": operation})

    assert_refused(answer, status=403, code="confirmation_required")


async def test_who_is_signed_out_can_neither_add_nor_confirm(browser: VisitingBrowser) -> None:
    for path, body in (
        ("/passkeys/addition/options", {}),
        ("/passkeys/addition", {"credential": {}}),
        ("/passkeys/confirmation/options", {"operation": "A" * 22}),
        ("/passkeys/confirmation", {"operation": "A" * 22, "credential": {}}),
    ):
        assert_refused(await browser.post(path, body), status=401, code="signed_out")


async def test_a_ceremony_begun_by_one_person_adds_nothing_to_the_next(site: PasskeySite) -> None:
    ada, bob = await site.person(), await site.person(email="bob@example.com")
    options = await ada.browser.addition_options()
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    # The browser is Bob's now, and its challenges with it.
    await ada.browser.sign_in(bob.authenticator)
    before = await site.digest()

    assert_refused(await ada.browser.post("/passkeys/addition", {"credential": credential}))
    assert await site.digest() == before


async def test_another_persons_session_in_the_same_browser_adds_nothing(site: PasskeySite) -> None:
    ada, bob = await site.person(), await site.person(email="bob@example.com")
    options = await ada.browser.addition_options()
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    ada.browser.put_cookie(SESSION_COOKIE, bob.browser.client.cookies[SESSION_COOKIE])
    before = await site.digest()

    assert_refused(await ada.browser.post("/passkeys/addition", {"credential": credential}))
    assert (await site.last_event()).reason == "challenge_of_other_account"
    assert await site.digest() == before


async def test_the_epoch_raised_meanwhile_ends_the_ceremony(site: PasskeySite) -> None:
    person = await site.person()
    options = await person.browser.addition_options()
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)
    await site.database.transact(
        accounts.raise_epoch, account_id=person.account_id, seen_epoch=0, now=site.clock()
    )
    before = await site.digest()

    answer = await person.browser.post("/passkeys/addition", {"credential": credential})

    assert_refused(answer, status=401, code="signed_out")
    assert await site.digest() == before


async def test_signing_out_everywhere_while_passkeys_are_added_wins_or_comes_later(
    site: PasskeySite,
) -> None:
    person = await site.person()
    options = [await person.browser.addition_options() for _ in range(4)]
    waiting = [SoftwareAuthenticator().create(option, origin=ISSUER) for option in options]

    async def sign_out_everywhere() -> None:
        await site.database.transact(
            accounts.raise_epoch, account_id=person.account_id, seen_epoch=0, now=site.clock()
        )

    adding = asyncio.gather(
        *(person.browser.post("/passkeys/addition", {"credential": credential}) for credential in waiting)
    )
    await asyncio.gather(sign_out_everywhere(), adding)

    statuses = [answer.status_code for answer in await adding]
    assert set(statuses) <= {200, 401}
    assert len(await site.credentials_of(person.account_id)) == 1 + statuses.count(200)


async def test_an_enrolment_challenge_adds_nothing(site: PasskeySite) -> None:
    person = await site.person()
    token = await site.enrolment(person.account_id, kind="recovery")
    options = await person.browser.options("enrolment", {"enrolment": token})
    credential = SoftwareAuthenticator().create(options, origin=ISSUER)

    assert_refused(await person.browser.post("/passkeys/addition", {"credential": credential}))


@pytest.mark.parametrize(
    "spoilt",
    [{"user_verified": False}, {"rp_id": "example.com"}, {"format": "acme"}, {"type": "webauthn.get"}],
)
async def test_a_spoilt_addition_adds_nothing(site: PasskeySite, spoilt: dict[str, Any]) -> None:
    person = await site.person()
    await person.browser.confirmed()  # Which notes that the passkey was used.
    before = await site.digest()

    assert_refused(await person.browser.add(SoftwareAuthenticator(), **spoilt))
    assert await site.digest() == before


async def test_a_passkey_of_another_account_is_not_added(site: PasskeySite) -> None:
    ada, bob = await site.person(), await site.person(email="bob@example.com")
    await bob.browser.confirmed()  # Which notes that the passkey was used.
    before = await site.digest()

    assert_refused(await bob.browser.add(SoftwareAuthenticator(), credential_id=ada.passkey.id))
    assert await site.digest() == before
