"""After a sign-in with another device, a passkey for this one is offered: seldom, and never in the way."""

import asyncio
from datetime import timedelta

from tests.passkeys.site import PasskeySite
from tests.support.frozen_clock import FrozenClock
from tests.support.software_authenticator import SoftwareAuthenticator

REQUEST = "A" * 22


async def test_signed_in_with_another_device_a_person_is_offered_a_passkey_once_a_month(
    site: PasskeySite, clock: FrozenClock
) -> None:
    person = await site.person()

    async def sign_in(attachment: str | None) -> str:
        answer = await site.browser().sign_in(
            person.authenticator, request=REQUEST, authenticator_attachment=attachment
        )
        return str(answer.json()["continue"])

    assert await sign_in("platform") == f"/authorize?request={REQUEST}"
    assert await sign_in(None) == f"/authorize?request={REQUEST}"
    assert await sign_in("cross-platform") == f"/passkeys/offer?request={REQUEST}"
    assert await sign_in("cross-platform") == f"/authorize?request={REQUEST}"
    clock.advance(timedelta(days=30))
    assert await sign_in("cross-platform") == f"/passkeys/offer?request={REQUEST}"


async def test_of_many_sign_ins_at_once_one_is_followed_by_the_offer(site: PasskeySite) -> None:
    person = await site.person()

    answers = await asyncio.gather(
        *(
            site.browser().sign_in(person.authenticator, authenticator_attachment="cross-platform")
            for _ in range(4)
        )
    )

    addresses = sorted(answer.json()["continue"] for answer in answers)
    assert addresses == ["/account", "/account", "/account", "/passkeys/offer"]


async def test_the_offer_carries_the_apps_request_and_lets_the_person_go_on(site: PasskeySite) -> None:
    person = await site.person()

    page = await person.browser.client.get(f"/passkeys/offer?request={REQUEST}")

    assert f'href="/authorize?request={REQUEST}">Not now' in page.text
    assert f'name="request" value="{REQUEST}"' in page.text
    stranger = await site.browser().client.get(f"/passkeys/offer?request={REQUEST}")
    assert stranger.headers["location"] == f"/authorize?request={REQUEST}"
    crooked = await person.browser.client.get("/passkeys/offer?request=https://evil.example")
    assert 'href="/account">Not now' in crooked.text


async def test_a_passkey_added_on_the_way_to_an_app_leads_on_to_it(site: PasskeySite) -> None:
    person = await site.person()
    options = await person.browser.addition_options()
    credential = SoftwareAuthenticator().create(options, origin="https://id.example.com")

    answer = await person.browser.post("/passkeys/addition", {"credential": credential, "request": REQUEST})

    assert answer.json() == {"continue": f"/authorize?request={REQUEST}"}
