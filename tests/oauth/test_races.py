"""Two things at once, on both databases: whichever answers first, what was ended stays ended."""

import asyncio

import httpx

from idp.storage import accounts, connections
from tests.support.node import App, Node, Person, location_parameters
from tests.support.pages import open_consent

ROUNDS = 6


async def withdraw(node: Node, app: App, person: Person) -> None:
    await node.provider.database.transact(
        connections.withdraw, account_id=person.account_id, client_id=app.id, now=node.clock()
    )


async def assert_nothing_lives(node: Node, app: App, redeemed: httpx.Response) -> None:
    """The redemption may have won the race; what it gave is dead all the same."""
    assert redeemed.status_code in {200, 400}
    if redeemed.status_code == 200:
        tokens = redeemed.json()
        assert (await node.refresh(app, tokens["refresh_token"])).json()["error"] == "invalid_grant"
        assert (await node.userinfo(tokens["access_token"])).status_code == 401
    else:
        assert redeemed.json()["error"] == "invalid_grant"


async def test_no_family_outlives_a_consent_withdrawn_while_its_code_is_redeemed(
    node: Node, app: App, person: Person
) -> None:
    for _ in range(ROUNDS):
        code = await node.code(app, person)

        redeemed, _ = await asyncio.gather(node.redeem(app, code), withdraw(node, app, person))

        await assert_nothing_lives(node, app, redeemed)


async def test_a_consent_withdrawn_while_the_code_is_made_leaves_the_request_waiting_or_the_code_dead(
    node: Node, app: App, person: Person
) -> None:
    for _ in range(ROUNDS):
        page = await open_consent(node, app, person, prompt="consent")
        await page.press("allow")

        answer, _ = await asyncio.gather(page.go_on(), withdraw(node, app, person))

        if answer.headers["location"].startswith(app.redirect_uri):
            code = location_parameters(answer)["code"]
            assert (await node.redeem(app, code)).json()["error"] == "invalid_grant"
        else:
            # No code, so nothing is finished: the person is asked again, and it goes on.
            again = await page.go_on()
            assert again.headers["location"] == f"/consent?request={page.request_id}"


async def test_no_family_outlives_a_person_disabled_while_its_code_is_redeemed(node: Node, app: App) -> None:
    for round_number in range(ROUNDS):
        person = await node.person(f"p{round_number}@example.com")
        code = await node.code(app, person)

        redeemed, _ = await asyncio.gather(
            node.redeem(app, code),
            node.provider.database.transact(
                accounts.set_status, account_id=person.account_id, status="disabled", now=node.clock()
            ),
        )

        await assert_nothing_lives(node, app, redeemed)


async def test_no_code_outlives_a_sign_out_at_the_same_moment(node: Node, app: App, person: Person) -> None:
    hint = (await node.tokens(app, person, scope="openid"))["id_token"]
    for _ in range(ROUNDS):
        browser = node.browser(person.cookies)

        answer, signed_out = await asyncio.gather(
            node.authorize(app, person, scope="openid", prompt="none"),
            browser.get("/logout", params={"id_token_hint": hint}),
        )

        assert signed_out.status_code == 303
        if answer.headers["location"].startswith("/authorize?"):
            # The session ended while its code was made: the request is decided afresh.
            answer = await browser.get(answer.headers["location"])
        given = location_parameters(answer)
        if "code" in given:
            assert (await node.redeem(app, given["code"])).json()["error"] == "invalid_grant"
        else:
            assert given["error"] == "login_required"
        await node.sign_in(person)
        hint = (await node.tokens(app, person, scope="openid"))["id_token"]


async def test_two_tabs_of_one_request_get_one_code(node: Node, app: App, person: Person) -> None:
    for _ in range(ROUNDS):
        page = await open_consent(node, app, person, prompt="consent")
        await page.press("allow")

        answers = await asyncio.gather(*(page.go_on() for _ in range(4)))

        codes = [answer for answer in answers if "code=" in answer.headers.get("location", "")]
        assert len(codes) == 1
        for answer in answers:
            if answer not in codes:
                # The others are led back here, where they read that it is done.
                assert answer.status_code == 200 or answer.headers["location"].startswith(
                    "/authorize?request="
                )


async def test_parallel_allow_and_deny_end_in_one_answer(node: Node, app: App, person: Person) -> None:
    for _ in range(ROUNDS):
        page = await open_consent(node, app, person, prompt="consent")

        await asyncio.gather(page.press("allow"), page.press("deny"))

        first, second = await page.go_on(), await page.go_on()
        assert location_parameters(first)["error"] == "access_denied"
        assert "already finished" in second.text
