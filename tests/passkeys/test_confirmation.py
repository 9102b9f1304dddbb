"""Step-up: a passkey confirms exactly one operation, of its own account, in its own session, once."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from idp import opaque_token
from idp.passkeys import ceremony_options
from idp.passkeys import confirmation as confirming
from idp.passkeys.verification.ceremony_error import CeremonyError
from idp.sessions import confirmation
from idp.settings import Passkeys
from idp.storage import confirmations, tables
from idp.storage.confirmations import Receipt
from idp.storage.database import Database
from tests.passkeys.site import ISSUER, SESSION_COOKIE, PasskeySite, Person, assert_refused
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import SoftwareAuthenticator


async def take(site: PasskeySite, person: Person, operation: str, kind: Any = "passkey.remove") -> Any:
    return await site.database.transact(
        confirmation.take,
        kind,
        operation_id=operation,
        session=await person.browser.session(),
        now=site.clock(),
    )


async def receipt_of(site: PasskeySite, operation: str) -> Receipt:
    receipt = await site.database.read(confirmations.find_receipt, receipt_id=operation)
    assert receipt is not None
    return receipt


async def ask_to_remove(person: Person) -> str:
    return await person.browser.ask("passkey.remove", credential_id="AA", name="Ada's MacBook", left="2")


async def test_a_confirmed_operation_is_taken_once_as_it_was_asked(site: PasskeySite) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    assert await take(site, person, operation) is None

    answer = await person.browser.confirm(operation)

    assert (answer.status_code, answer.json()) == (200, {"continue": "/account/somewhere"})
    taken = await take(site, person, operation)
    assert taken.parameters == {"credential_id": "AA", "name": "Ada's MacBook", "left": "2"}
    assert await take(site, person, operation) is None


async def test_taken_by_many_at_once_an_operation_is_done_once(site: PasskeySite) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    await person.browser.confirm(operation)

    taken = await asyncio.gather(*(take(site, person, operation) for _ in range(6)))

    assert sum(one is not None for one in taken) == 1


async def test_the_challenge_is_the_digest_of_the_whole_operation(site: PasskeySite) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)

    options = await person.browser.options("confirmation", {"operation": operation})

    row = await confirmation_row(site, operation)
    expected = hashlib.sha256(b"idp operation confirmation v1\0" + row.operation).digest()
    assert options["challenge"] == opaque_token.encode(expected)
    assert options["userVerification"] == "required"
    assert options["timeout"] == 120_000
    assert [one["id"] for one in options["allowCredentials"]] == [opaque_token.encode(person.passkey.id)]
    session = await person.browser.session()
    for part in (person.account_id, session.id, "passkey.remove", "Ada's MacBook"):
        assert part.encode() in row.operation


async def confirmation_row(site: PasskeySite, operation: str) -> Any:
    async def read(tx: Any) -> Any:
        rows = await tx.execute(sa.select(tables.confirmations).where(tables.confirmations.c.id == operation))
        return rows.one()

    return await site.database.read(read)


async def test_one_byte_of_the_operation_changed_is_refused(site: PasskeySite) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    options = await person.browser.options("confirmation", {"operation": operation})
    credential = person.authenticator.get(options, origin=ISSUER)
    await change_a_byte(site, operation)

    answer = await person.browser.post(
        "/passkeys/confirmation", {"operation": operation, "credential": credential}
    )

    assert_refused(answer)
    assert await take(site, person, operation) is None


async def test_one_byte_changed_after_the_confirmation_is_not_executed(site: PasskeySite) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    await person.browser.confirm(operation)
    await change_a_byte(site, operation)

    assert await take(site, person, operation) is None


async def change_a_byte(site: PasskeySite, operation: str) -> None:
    row = await confirmation_row(site, operation)
    await site.execute(
        sa.update(tables.confirmations)
        .where(tables.confirmations.c.id == operation)
        .values(operation=row.operation.replace(b'"AA"', b'"AB"'))
    )


async def test_an_assertion_for_one_operation_confirms_no_other(site: PasskeySite) -> None:
    person = await site.person()
    harmless, harmful = await person.browser.ask("account.export"), await ask_to_remove(person)
    options = await person.browser.options("confirmation", {"operation": harmless})
    credential = person.authenticator.get(options, origin=ISSUER)

    answer = await person.browser.post(
        "/passkeys/confirmation", {"operation": harmful, "credential": credential}
    )

    assert_refused(answer)
    assert await take(site, person, harmful) is None


async def test_a_sign_ins_assertion_confirms_nothing(site: PasskeySite) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    options = await person.browser.options("authentication")
    credential = person.authenticator.get(options, origin=ISSUER)

    assert_refused(
        await person.browser.post(
            "/passkeys/confirmation", {"operation": operation, "credential": credential}
        )
    )


async def test_a_confirmations_assertion_signs_nobody_in(site: PasskeySite) -> None:
    person = await site.person()
    options = await person.browser.options("confirmation", {"operation": await ask_to_remove(person)})

    assert_refused(await person.browser.finish_sign_in(person.authenticator.get(options, origin=ISSUER)))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"user_verified": False},
        {"user_present": False},
        {"type": "webauthn.create"},
        {"rp_id": "example.com"},
        {"signature": b"nonsense"},
        {"cross_origin": True},
        {"user_handle": b"somebody else"},
        {"backup_eligible": False, "backed_up": False},
    ],
)
async def test_a_spoilt_answer_confirms_nothing_and_is_the_last(
    site: PasskeySite, spoilt: dict[str, Any]
) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)

    assert_refused(await person.browser.confirm(operation, **spoilt))

    assert await take(site, person, operation) is None
    again = await person.browser.post("/passkeys/confirmation/options", {"operation": operation})
    assert_refused(again, status=404, code="operation_unavailable")
    assert await site.database.read(confirmations.find_receipt, receipt_id=operation) is None


async def test_verification_is_required_also_where_signing_in_only_prefers_it(
    database: Database, clock: FrozenClock
) -> None:
    site = PasskeySite(database, clock, passkeys=Passkeys(user_verification="preferred"))
    person = await site.person()

    answer = await person.browser.confirm(await ask_to_remove(person), user_verified=False)

    assert_refused(answer)
    await site.close()


async def test_two_minutes_later_an_operation_is_neither_confirmed_nor_done(
    site: PasskeySite, clock: FrozenClock
) -> None:
    person = await site.person()
    late, waiting = await ask_to_remove(person), await ask_to_remove(person)
    options = await person.browser.options("confirmation", {"operation": late})
    credential = person.authenticator.get(options, origin=ISSUER)
    await person.browser.confirm(waiting)
    clock.advance(timedelta(minutes=2))

    answer = await person.browser.post(
        "/passkeys/confirmation", {"operation": late, "credential": credential}
    )

    assert_refused(answer, status=404, code="operation_unavailable")
    assert await take(site, person, waiting) is None


async def test_another_persons_passkey_confirms_nothing(site: PasskeySite) -> None:
    ada, eve = await site.person(), await site.person(email="eve@example.com")
    operation = await ask_to_remove(ada)
    options = await ada.browser.options("confirmation", {"operation": operation})
    credential = eve.authenticator.get(options, origin=ISSUER, passkey=eve.passkey)

    answer = await ada.browser.post(
        "/passkeys/confirmation", {"operation": operation, "credential": credential}
    )

    assert_refused(answer)
    assert (await site.last_event()).reason == "credential_not_expected"


async def test_a_passkey_of_the_account_that_the_options_did_not_name_confirms_nothing(
    site: PasskeySite,
) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    options = await person.browser.options("confirmation", {"operation": operation})
    await site.execute(sa.update(tables.credentials).values(rp_id="old.example.com"))

    answer = await person.browser.post(
        "/passkeys/confirmation",
        {"operation": operation, "credential": person.authenticator.get(options, origin=ISSUER)},
    )

    assert_refused(answer)


async def test_another_session_even_of_the_same_person_confirms_and_takes_nothing(
    site: PasskeySite,
) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    other = site.browser()
    await other.sign_in(person.authenticator)

    begun = await other.post("/passkeys/confirmation/options", {"operation": operation})
    shown = await other.client.get("/confirm", params={"operation": operation})
    await person.browser.confirm(operation)
    person.browser.put_cookie(SESSION_COOKIE, other.client.cookies[SESSION_COOKIE])

    assert_refused(begun, status=404, code="operation_unavailable")
    assert shown.status_code == 404
    assert await take(site, person, operation) is None


async def test_another_persons_operation_is_out_of_reach(site: PasskeySite) -> None:
    ada, eve = await site.person(), await site.person(email="eve@example.com")
    operation = await ask_to_remove(ada)

    answer = await eve.browser.post("/passkeys/confirmation/options", {"operation": operation})

    assert_refused(answer, status=404, code="operation_unavailable")
    assert (await ada.browser.confirm(operation)).status_code == 200


async def test_the_page_says_in_plain_words_what_will_happen(site: PasskeySite) -> None:
    person = await site.person()
    operation = await person.browser.ask(
        "passkey.remove", credential_id="AA", name="Ada's <b>MacBook", left="1"
    )

    page = await person.browser.client.get(
        "/confirm", params={"operation": operation}, headers={"Accept": "text/html"}
    )

    assert page.status_code == 200
    assert "Is this you, removing “Ada&#39;s &lt;b&gt;MacBook”?</h1>" in page.text
    assert "it is your last way in" in page.text
    assert 'action="/account/somewhere"' in page.text
    assert "Confirm with passkey" in page.text


async def test_a_receipt_is_verified_from_itself_alone_also_when_the_passkey_is_gone(
    site: PasskeySite,
) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    await person.browser.confirm(operation)
    await site.execute(sa.delete(tables.credentials))

    receipt = await receipt_of(site, operation)

    confirming.verify_receipt(receipt)
    event = next(
        event for event in await site.events_of(person.account_id) if event.event == "operation_confirmed"
    )
    assert event.details["receipt"] == operation
    assert event.details["receipt_sha256"] == confirming.digest(receipt)


@pytest.mark.parametrize(
    "part", ["operation", "client_data_json", "authenticator_data", "signature", "public_key"]
)
async def test_a_receipt_with_one_byte_changed_is_none(site: PasskeySite, part: str) -> None:
    person = await site.person()
    operation = await ask_to_remove(person)
    await person.browser.confirm(operation)
    receipt = await receipt_of(site, operation)
    value: bytes = getattr(receipt, part)
    middle = len(value) // 2
    changed = value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]
    members: dict[str, Any] = {part: changed}  # Any: replace() takes members of all types
    spoilt = replace(receipt, **members)

    with pytest.raises(CeremonyError):
        confirming.verify_receipt(spoilt)
    assert confirming.digest(spoilt) != confirming.digest(receipt)


async def test_the_password_manager_hears_of_exactly_the_passkeys_that_are_accepted(
    site: PasskeySite,
) -> None:
    person = await site.person()
    await person.browser.add(SoftwareAuthenticator())

    answer = await person.browser.client.get("/passkeys/accepted")

    known = [opaque_token.encode(one.id) for one in await site.credentials_of(person.account_id)]
    assert answer.json() == {
        "rpId": "id.example.com",
        "userId": opaque_token.encode(person.passkey.user_handle),
        "allAcceptedCredentialIds": known,
        "name": "ada@example.com",
        "displayName": "Ada",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert (await site.browser().client.get("/passkeys/accepted")).status_code == 401


@pytest.mark.parametrize(
    ("transports", "hints"),
    [
        ([["internal"]], ("client-device", "hybrid")),
        ([["hybrid", "internal"], ["internal"]], ("client-device", "hybrid")),
        ([["usb", "nfc"], ["usb"]], ("security-key",)),
        ([["usb"], ["internal"]], ()),
        ([["hybrid"]], ()),
        ([[]], ()),
        ([], ()),
    ],
)
def test_a_browser_is_hinted_where_to_look_when_the_passkeys_agree(
    transports: list[list[str]], hints: tuple[str, ...]
) -> None:
    assert ceremony_options.hints_for(transports) == hints
