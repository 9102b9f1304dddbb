"""What is answered for an e-mail address tells nothing of it (WebAuthn L3 §14.6.2)."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from idp import opaque_token
from idp.passkeys import decoys
from idp.storage import tables
from tests.passkeys.site import DECOY_KEY, ISSUER, PasskeySite, VisitingBrowser, assert_refused
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import Json, SoftwareAuthenticator


def ids(options: Json) -> list[str]:
    return [descriptor["id"] for descriptor in options["allowCredentials"]]


async def options_for(browser: VisitingBrowser, email: str) -> Json:
    return await browser.options("authentication", {"email": email})


async def test_known_and_unknown_addresses_get_the_same_shape(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    await site.person(email="known@example.com")
    await site.account(email="pending@example.com")

    answers = [await options_for(browser, f"{who}@example.com") for who in ("known", "pending", "unknown")]

    for options in answers:
        assert set(options) == {"challenge", "timeout", "rpId", "userVerification", "allowCredentials"}
        assert len(options["allowCredentials"]) == 4
        for descriptor in options["allowCredentials"]:
            assert set(descriptor) == {"type", "id"}
            assert descriptor["type"] == "public-key"
    everything = [value for options in answers for value in ids(options)]
    assert len(set(everything)) == 12


async def test_the_ids_of_an_address_are_stable_whoever_asks_and_when(
    site: PasskeySite, browser: VisitingBrowser, clock: FrozenClock
) -> None:
    await site.person(email="known@example.com")

    for email in ("known@example.com", "unknown@example.com"):
        first = ids(await options_for(browser, email))
        clock.advance(timedelta(days=30))
        assert ids(await options_for(site.browser(), email.upper())) == first


async def test_the_real_passkey_is_among_the_decoys_and_not_always_first(site: PasskeySite) -> None:
    places = set()
    for number in range(12):
        email = f"person{number}@example.com"
        person = await site.person(email=email)
        places.add(
            ids(await options_for(site.browser(), email)).index(opaque_token.encode(person.passkey.id))
        )

    assert len(places) > 1


async def test_more_passkeys_than_four_make_a_list_of_eight(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    person = await site.person()
    for _ in range(4):
        await person.browser.add(SoftwareAuthenticator())

    offered = ids(await options_for(browser, "ada@example.com"))

    real = {opaque_token.encode(credential.id) for credential in await site.credentials_of(person.account_id)}
    assert len(offered) == 8
    assert len(real & set(offered)) == 5


async def test_who_verified_an_address_has_it_and_mere_claims_are_left_out(
    site: PasskeySite, browser: VisitingBrowser
) -> None:
    holder = await site.person(email="ada@example.com")
    claimant = await site.person(email="ada@example.com")
    both = ids(await options_for(browser, "ada@example.com"))
    await site.execute(
        sa.update(tables.email_addresses)
        .where(tables.email_addresses.c.account_id == holder.account_id)
        .values(verified_at=site.clock())
    )

    offered = ids(await options_for(browser, "ada@example.com"))

    real, claimed = (opaque_token.encode(person.passkey.id) for person in (holder, claimant))
    assert real in both
    assert claimed in both
    assert real in offered
    assert claimed not in offered


@pytest.mark.parametrize("email", ["x", "a@b@c", "a" * 400 + "@example.com"])
async def test_text_that_is_no_address_is_refused(browser: VisitingBrowser, email: str) -> None:
    answer = await browser.post("/passkeys/authentication/options", {"email": email})

    assert_refused(answer, code="invalid_email")


async def test_an_address_that_is_no_text_is_refused(browser: VisitingBrowser) -> None:
    answer = await browser.post("/passkeys/authentication/options", {"email": ["a@example.com"]})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_without_an_address_any_passkey_may_answer(browser: VisitingBrowser) -> None:
    for body in ({}, {"email": ""}, {"email": None}):
        options = await browser.options("authentication", body)
        assert set(options) == {"challenge", "timeout", "rpId", "userVerification"}


async def test_a_decoy_signs_nobody_in(site: PasskeySite, browser: VisitingBrowser) -> None:
    options = await options_for(browser, "nobody@example.com")
    decoy = opaque_token.decode(ids(options)[0])
    assert decoy is not None
    stranger = SoftwareAuthenticator()
    await browser.enrol(await site.enrolment(await site.account()), stranger)
    before = await site.digest()
    another = site.browser()
    options = await options_for(another, "nobody@example.com")
    credential = stranger.get(
        options, origin=ISSUER, passkey=stranger.passkeys[0], credential_id=decoy, user_handle=None
    )

    assert_refused(await another.finish_sign_in(credential))
    assert (await site.last_event()).reason == "credential_unknown"
    assert await site.digest() == before


def test_decoys_have_lengths_met_in_the_field_and_differ_between_deployments() -> None:
    lengths = set()
    for number in range(200):
        address = f"{number}@example.com"
        mixed = decoys.mix([], normalized_address=address, key=DECOY_KEY)
        lengths |= {len(value) for value in mixed}
        assert len(set(mixed)) == 4
        assert not set(mixed) & set(decoys.mix([], normalized_address=address, key=b"e" * 32))
    assert lengths == {16, 20, 32, 48, 64}


@pytest.mark.parametrize(("real", "total"), [(0, 4), (1, 4), (4, 4), (5, 8), (8, 8), (9, 12)])
def test_a_list_holds_a_multiple_of_four(real: int, total: int) -> None:
    credential_ids = [bytes([number]) * 16 for number in range(real)]

    mixed = decoys.mix(credential_ids, normalized_address="a@example.com", key=DECOY_KEY)

    assert len(mixed) == total
    assert set(credential_ids) <= set(mixed)
