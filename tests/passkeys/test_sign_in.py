import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from idp import opaque_token
from idp.settings import Passkeys
from idp.storage import accounts, credentials, interactions, tables
from idp.storage.database import Database
from idp.storage.interactions import Interaction
from tests.passkeys.site import (
    ISSUER,
    SESSION_COOKIE,
    PasskeySite,
    VisitingBrowser,
    assert_refused,
)
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import Algorithm, SoftwareAuthenticator

REQUEST_ID = "A" * 21 + "Q"


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("email", [None, "ada@example.com", " ADA@example.com "])
async def test_a_passkey_signs_a_browser_in(
    site: PasskeySite, browser: VisitingBrowser, algorithm: Algorithm, email: str | None
) -> None:
    person = await site.person(algorithm=algorithm)

    answer = await browser.sign_in(person.authenticator, email=email)

    assert (answer.status_code, answer.json()) == (200, {"continue": "/account"})
    cookie_sha256 = opaque_token.sha256(browser.client.cookies[SESSION_COOKIE])
    sessions = await site.sessions_of(person.account_id)
    assert len(sessions) == 2
    assert cookie_sha256 in {session.cookie_sha256 for session in sessions}
    [credential] = await site.credentials_of(person.account_id)
    assert credential.last_used_at == site.clock()


async def test_after_sign_in_the_person_returns_to_the_waiting_request(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()

    answer = await browser.sign_in(person.authenticator, request=REQUEST_ID)

    assert answer.json() == {"continue": f"/authorize?request={REQUEST_ID}"}


@pytest.mark.parametrize("request_id", ["", REQUEST_ID])
async def test_a_waiting_notice_comes_first(
    site: PasskeySite, browser: VisitingBrowser, request_id: str
) -> None:
    person = await site.person()
    await site.database.transact(
        accounts.leave_notice, account_id=person.account_id, notice={"kind": "reuse"}
    )

    answer = await browser.sign_in(person.authenticator, request=request_id)

    expected = f"/notice?request={request_id}" if request_id else "/notice"
    assert answer.json() == {"continue": expected}


@pytest.mark.parametrize(
    "request_id", ["x", "//evil.org", "A" * 23, "A" * 21 + "B", ["a"], 7, "../" + "A" * 19]
)
async def test_a_malformed_request_id_is_refused_before_anything_is_used_up(
    site: PasskeySite, browser: VisitingBrowser, request_id: Any
) -> None:
    person = await site.person()
    options = await browser.options("authentication")
    credential = person.authenticator.get(options, origin=ISSUER)

    answer = await browser.finish_sign_in(credential, request=request_id)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await browser.finish_sign_in(credential)).status_code == 200


SPOILT: list[tuple[str, dict[str, Any], str]] = [
    # Any: what a test spoils is of many types.
    ("L1 type", {"type": "webauthn.create"}, "client_data_type"),
    ("http", {"origin": "http://id.example.com"}, "origin_mismatch"),
    ("other port", {"origin": "https://id.example.com:8443"}, "origin_mismatch"),
    ("suffix", {"origin": "https://id.example.com.evil.org"}, "origin_mismatch"),
    ("upper case", {"origin": "HTTPS://id.example.com"}, "origin_mismatch"),
    ("framed", {"cross_origin": True}, "cross_origin"),
    ("top origin", {"top_origin": "https://evil.org"}, "cross_origin"),
    ("rp id", {"rp_id": "example.com"}, "rp_id_hash_mismatch"),
    ("no presence", {"user_present": False}, "user_not_present"),
    ("no verification", {"user_verified": False}, "user_not_verified"),
    ("L9 no longer eligible", {"backup_eligible": False, "backed_up": False}, "backup_eligibility_changed"),
    ("backup flags", {"backup_eligible": False, "backed_up": True}, "backup_flags_inconsistent"),
    ("bad signature", {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"}, "signature_not_verified"),
    ("no signature of any kind", {"signature": b"x"}, "signature_not_verified"),
    ("empty signature", {"signature": b""}, "credential_malformed"),
    ("signature over the limit", {"signature": b"x" * 1025}, "credential_malformed"),
    ("L7 no user handle", {"user_handle": None}, "user_handle_missing"),
    ("L7 foreign user handle", {"user_handle": b"f" * 32}, "user_handle_mismatch"),
    ("L7 empty user handle", {"user_handle": b""}, "credential_malformed"),
    ("user handle over the limit", {"user_handle": b"f" * 65}, "credential_malformed"),
    ("trailing bytes", {"extra_bytes": b"\x00"}, "authenticator_data_malformed"),
    ("short data", {"authenticator_data": b"\x00" * 36}, "authenticator_data_malformed"),
    ("data over the limit", {"authenticator_data": b"\x00" * 3000}, "credential_malformed"),
    ("hostile extensions", {"flags": 0x9D, "extra_bytes": b"\x81" * 1500}, "cbor_malformed"),
    ("id is not rawId", {"id": "AAAA"}, "credential_malformed"),
    ("padding", {"id": "AA==", "raw_id": "AA=="}, "credential_malformed"),
    ("other type", {"credential_type": "password"}, "credential_malformed"),
]


@pytest.mark.parametrize(
    ("spoilt", "reason"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT]
)
async def test_a_spoilt_assertion_signs_nobody_in_and_uses_its_challenge_up(
    site: PasskeySite, browser: VisitingBrowser, spoilt: dict[str, Any], reason: str
) -> None:
    person = await site.person()
    before = await site.digest()

    answer = await browser.sign_in(person.authenticator, **spoilt)

    assert_refused(answer)
    assert not browser.is_signed_in
    assert await site.digest() == before
    event = await site.last_event()
    assert (event.event, event.outcome, event.reason) == ("sign_in", "failure", reason)
    assert (await browser.sign_in(person.authenticator)).status_code == 200


async def test_every_refusal_reads_alike(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()

    answers = [await browser.sign_in(person.authenticator, **spoilt) for _, spoilt, _ in SPOILT]

    assert len({(answer.json()["error"], answer.json()["message"]) for answer in answers}) == 1


async def test_a_passkey_that_becomes_backup_eligible_is_refused(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person(authenticator=SoftwareAuthenticator(backed_up=False))
    before = await site.digest()

    assert_refused(await browser.sign_in(person.authenticator, backup_eligible=True, backed_up=True))
    assert (await site.last_event()).reason == "backup_eligibility_changed"
    assert await site.digest() == before


async def test_a_passkey_that_is_backed_up_later_says_so(site: PasskeySite, browser: VisitingBrowser) -> None:
    authenticator = SoftwareAuthenticator(backed_up=False)
    account_id = await site.account()
    token = await site.enrolment(account_id)
    await browser.enrol(token, authenticator, backup_eligible=True, backed_up=False)

    answer = await browser.sign_in(authenticator, backup_eligible=True, backed_up=True)

    assert answer.status_code == 200
    assert [credential.backed_up for credential in await site.credentials_of(account_id)] == [True]


async def test_an_answer_is_used_once(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    options = await browser.options("authentication")
    credential = person.authenticator.get(options, origin=ISSUER)
    first = await browser.finish_sign_in(credential)
    before = await site.digest()

    assert first.status_code == 200
    assert_refused(await browser.finish_sign_in(credential))
    assert await site.digest() == before


async def test_a_failed_answer_uses_the_challenge_up(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    options = await browser.options("authentication")

    assert_refused(
        await browser.finish_sign_in(person.authenticator.get(options, origin=ISSUER, signature=b"bad"))
    )
    assert_refused(await browser.finish_sign_in(person.authenticator.get(options, origin=ISSUER)))
    assert (await site.last_event()).reason == "challenge_unknown"


async def test_parallel_answers_to_one_challenge_make_one_session(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person(authenticator=SoftwareAuthenticator(backed_up=False, counts=True))
    options = await browser.options("authentication")
    credential = person.authenticator.get(options, origin=ISSUER)

    answers = await asyncio.gather(*(browser.finish_sign_in(credential) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert len(await site.sessions_of(person.account_id)) == 2


async def test_a_challenge_is_no_other_browsers(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    options = await browser.options("authentication")
    credential = person.authenticator.get(options, origin=ISSUER)

    assert_refused(await site.browser().finish_sign_in(credential))
    assert (await browser.finish_sign_in(credential)).status_code == 200


async def test_a_challenge_expires_after_five_minutes(
    site: PasskeySite, browser: VisitingBrowser, clock: FrozenClock
) -> None:
    person = await site.person()
    options = await browser.options("authentication")
    clock.advance(timedelta(minutes=5))

    assert_refused(await browser.finish_sign_in(person.authenticator.get(options, origin=ISSUER)))


async def test_an_enrolment_challenge_signs_nobody_in(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    token = await site.enrolment(person.account_id, kind="recovery")
    options = await browser.options("authentication")
    options["challenge"] = (await browser.options("enrolment", {"enrolment": token}))["challenge"]

    assert_refused(await browser.finish_sign_in(person.authenticator.get(options, origin=ISSUER)))


async def test_a_passkey_that_was_not_offered_is_refused(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    options = await browser.options("authentication", {"email": "ada@example.com"})
    assert (await person.browser.add(SoftwareAuthenticator())).status_code == 200
    later = SoftwareAuthenticator()
    assert (await person.browser.add(later)).status_code == 200
    before = await site.digest()

    answer = await browser.finish_sign_in(later.get(options, origin=ISSUER, passkey=later.passkeys[0]))

    assert_refused(answer)
    assert (await site.last_event()).reason == "credential_not_expected"
    assert await site.digest() == before


@pytest.mark.parametrize("email", ["ada@example.com", "empty@example.com", "nobody@example.com"])
async def test_a_sign_in_begun_for_one_address_is_finished_by_no_other_person(
    site: PasskeySite, browser: VisitingBrowser, email: str
) -> None:
    await site.person()
    await site.account(email="empty@example.com")
    bob = await site.person(email="bob@example.com")
    options = await browser.options("authentication", {"email": email})
    credential = bob.authenticator.get(options, origin=ISSUER, passkey=bob.passkey)
    before = await site.digest()

    assert_refused(await browser.finish_sign_in(credential))
    assert not browser.is_signed_in
    assert await site.digest() == before


async def test_a_user_handle_may_be_missing_when_the_passkey_was_named(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()

    assert (
        await browser.sign_in(person.authenticator, email="ada@example.com", user_handle=None)
    ).status_code == 200
    assert_refused(
        await browser.sign_in(person.authenticator, email="ada@example.com", user_handle=b"x" * 32)
    )


async def test_an_answer_with_somebody_elses_signature_is_refused(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    ada, bob = await site.person(), await site.person(email="bob@example.com")
    before = await site.digest()

    answer = await browser.sign_in(
        bob.authenticator, credential_id=ada.passkey.id, user_handle=ada.passkey.user_handle
    )

    assert_refused(answer)
    assert await site.digest() == before


async def test_a_counter_that_grows_is_remembered(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person(authenticator=SoftwareAuthenticator(backed_up=False, counts=True))

    for _ in range(3):
        assert (await browser.sign_in(person.authenticator)).status_code == 200

    [credential] = await site.credentials_of(person.account_id)
    assert (credential.sign_count, credential.suspected_clone_at) == (3, None)


@pytest.mark.parametrize("sign_count", [0, 4, 5])
async def test_a_counter_that_does_not_grow_is_recorded_and_blocks_nobody(
    site: PasskeySite, browser: VisitingBrowser, clock: FrozenClock, sign_count: int
) -> None:
    person = await site.person(authenticator=SoftwareAuthenticator(backed_up=False))
    assert (await browser.sign_in(person.authenticator, sign_count=5)).status_code == 200
    suspected_at = clock.advance(60)

    answer = await browser.sign_in(person.authenticator, sign_count=sign_count)

    assert answer.status_code == 200
    [credential] = await site.credentials_of(person.account_id)
    assert (credential.sign_count, credential.suspected_clone_at) == (5, suspected_at)
    assert "passkey_clone_suspected" in [event.event for event in await site.events_of(person.account_id)]


async def test_a_low_counter_under_a_bad_signature_raises_no_alarm(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person(authenticator=SoftwareAuthenticator(backed_up=False))
    assert (await browser.sign_in(person.authenticator, sign_count=5)).status_code == 200
    before = await site.digest()

    assert_refused(await browser.sign_in(person.authenticator, sign_count=1, signature=b"bad"))
    assert await site.digest() == before
    assert "passkey_clone_suspected" not in [event.event for event in await site.events_of(person.account_id)]


async def test_whose_passkey_was_removed_is_told_so(site: PasskeySite, browser: VisitingBrowser) -> None:
    person = await site.person()
    await site.database.transact(
        credentials.delete, credential_id=person.passkey.id, account_id=person.account_id
    )

    answer = await browser.sign_in(person.authenticator)

    assert_refused(answer, code="unknown_credential")
    assert answer.json()["message"] == (
        "That passkey was removed from your account. Your password manager has been told; pick another one."
    )


async def test_a_credential_id_alone_does_not_tell_whether_anyone_has_it(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()
    stranger = SoftwareAuthenticator()
    options = await browser.options("authentication", {"email": "ada@example.com"})
    ids = [opaque_token.decode(descriptor["id"]) or b"" for descriptor in options["allowCredentials"]]
    stranger.passkeys.append(person.passkey)

    answers = [
        await browser.sign_in(
            stranger,
            passkey=person.passkey,
            email=email,
            credential_id=credential_id,
            user_handle=user_handle,
            signature=b"guess",
        )
        for credential_id in ids
        for user_handle in (None, b"h" * 32)
        for email in (None, "ada@example.com")
    ]

    for answer in answers:
        assert_refused(answer)
    assert len({answer.json()["message"] for answer in answers}) == 1


@pytest.mark.parametrize("status", ["disabled", "deleted"])
async def test_an_account_that_is_off_gets_the_one_answer(
    site: PasskeySite, browser: VisitingBrowser, status: str
) -> None:
    person = await site.person()
    await site.database.transact(
        accounts.set_status, account_id=person.account_id, status=status, now=site.clock()
    )
    before = await site.digest()

    assert_refused(await browser.sign_in(person.authenticator))
    assert (await site.last_event()).reason == "account_unavailable"
    assert await site.digest() == before


async def test_the_removed_passkey_of_an_account_that_is_off_gets_the_one_answer(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()
    await site.database.transact(
        credentials.delete, credential_id=person.passkey.id, account_id=person.account_id
    )
    await site.database.transact(
        accounts.set_status, account_id=person.account_id, status="disabled", now=site.clock()
    )

    assert_refused(await browser.sign_in(person.authenticator))


async def test_a_passkey_made_for_another_relying_party_id_is_refused(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()
    await site.execute(sa.update(tables.credentials).values(rp_id="old.example.com"))

    assert_refused(await browser.sign_in(person.authenticator))
    assert (await site.last_event()).reason == "credential_of_other_rp_id"
    options = await browser.options("authentication", {"email": "ada@example.com"})
    assert opaque_token.encode(person.passkey.id) not in str(options)


async def test_a_touch_without_verification_claims_one_factor(database: Database, clock: FrozenClock) -> None:
    site = PasskeySite(database, clock, passkeys=Passkeys(user_verification="preferred"))
    person = await site.person()

    options = await person.browser.options("authentication")
    answer = await person.browser.sign_in(person.authenticator, user_verified=False)

    assert options["userVerification"] == "preferred"
    assert answer.status_code == 200
    [session] = await site.sessions_of(person.account_id)
    assert (session.acr, session.amr) == ("presence", ["swk", "user"])
    await site.close()


async def test_a_device_bound_passkey_is_told_from_a_synced_one(site: PasskeySite) -> None:
    bound = await site.person(authenticator=SoftwareAuthenticator(backed_up=False))
    synced = await site.person(email="bob@example.com")

    [of_bound] = await site.sessions_of(bound.account_id)
    [of_synced] = await site.sessions_of(synced.account_id)
    assert (of_bound.acr, of_bound.amr) == ("phrh", ["hwk", "user", "mfa"])
    assert (of_synced.acr, of_synced.amr) == ("phr", ["swk", "user", "mfa"])


async def test_sign_in_renames_the_browser_and_carries_its_requests_along(
    site: PasskeySite, browser: VisitingBrowser, clock: FrozenClock
) -> None:
    person = await site.person()
    planted = browser.sha256
    await site.database.transact(
        interactions.insert,
        Interaction(
            id=REQUEST_ID,
            browser_sha256=planted,
            client_id="app",
            parameters={},
            created_at=clock(),
            expires_at=clock() + timedelta(minutes=10),
        ),
    )

    assert (await browser.sign_in(person.authenticator, request=REQUEST_ID)).status_code == 200

    assert browser.sha256 != planted
    for sha256, is_found in ((planted, False), (browser.sha256, True)):
        found = await site.database.read(interactions.find, interaction_id=REQUEST_ID, browser_sha256=sha256)
        assert (found is not None) is is_found


async def test_sign_in_ends_the_browsers_earlier_session(site: PasskeySite) -> None:
    ada, bob = await site.person(), await site.person(email="bob@example.com")
    old_cookie = ada.browser.client.cookies[SESSION_COOKIE]

    assert (await ada.browser.sign_in(bob.authenticator)).status_code == 200

    assert ada.browser.client.cookies[SESSION_COOKIE] != old_cookie
    assert await site.sessions_of(ada.account_id) == []
    assert len(await site.sessions_of(bob.account_id)) == 2


async def test_the_session_remembers_browser_and_address(site: PasskeySite) -> None:
    person = await site.person()
    browser = site.browser(user_agent="Mozilla/5.0 " + "x" * 1000)

    assert (await browser.sign_in(person.authenticator)).status_code == 200

    cookie_sha256 = opaque_token.sha256(browser.client.cookies[SESSION_COOKIE])
    [session] = [
        session
        for session in await site.sessions_of(person.account_id)
        if session.cookie_sha256 == cookie_sha256
    ]
    assert session.address == "127.0.0.1"
    assert session.user_agent == ("Mozilla/5.0 " + "x" * 1000)[:300]


async def test_disabling_an_account_while_it_signs_in_leaves_no_live_session(site: PasskeySite) -> None:
    person = await site.person()
    browsers = [site.browser() for _ in range(6)]
    waiting = [
        person.authenticator.get(await browser.options("authentication"), origin=ISSUER)
        for browser in browsers
    ]

    await asyncio.gather(
        *(browser.finish_sign_in(credential) for browser, credential in zip(browsers, waiting, strict=True)),
        site.database.transact(
            accounts.set_status, account_id=person.account_id, status="disabled", now=site.clock()
        ),
    )

    assert await site.sessions_of(person.account_id) == []
