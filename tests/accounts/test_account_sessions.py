from datetime import datetime

import pytest

from idp.accounts import account_connections
from idp.storage import accounts, browser_sessions, connections
from tests.accounts.site import Site, Visitor


async def is_signed_in(visitor: Visitor) -> bool:
    return (await visitor.open("/account")).status_code == 200


async def test_another_browser_is_signed_out(site: Site) -> None:
    account_id = await site.person()
    here, there = await site.visitor(account_id), await site.visitor(account_id)
    assert there.session is not None
    page = await here.open("/account")
    assert there.session.id in page.text
    answer = await here.send("/account/sessions/end", session_id=there.session.id)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=session-ended#sessions")
    assert not await is_signed_in(there)
    assert await is_signed_in(here)
    again = await here.send("/account/sessions/end", session_id=there.session.id)
    assert again.status_code == 404


async def test_another_persons_session_is_out_of_reach(site: Site) -> None:
    ada = await site.visitor(await site.person())
    eve = await site.visitor(await site.person(email="eve@example.com"))
    assert ada.session is not None
    answer = await eve.send("/account/sessions/end", session_id=ada.session.id)
    assert answer.status_code == 404
    assert await is_signed_in(ada)


@pytest.mark.parametrize("address", ["/account/sign-out", "/account/sessions/end-all"])
async def test_signing_out_takes_the_cookie_back(site: Site, address: str) -> None:
    visitor = await site.visitor(await site.person())
    token = visitor.client.cookies["idp-session"]
    await visitor.open("/account")
    answer = await visitor.send(address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signed-out")
    assert "idp-session" not in visitor.client.cookies
    assert (await visitor.open("/signed-out")).status_code == 200
    # Whoever kept a copy of the cookie has nothing.
    visitor.client.cookies.set("idp-session", token, domain="localhost.local")
    assert not await is_signed_in(visitor)


async def test_signing_this_browser_out_leaves_the_others(site: Site) -> None:
    account_id = await site.person()
    here, there = await site.visitor(account_id), await site.visitor(account_id)
    await here.send("/account/sign-out")
    assert not await is_signed_in(here)
    assert await is_signed_in(there)


async def test_ending_ones_own_session_by_its_id_is_signing_out(site: Site) -> None:
    visitor = await site.visitor(await site.person())
    assert visitor.session is not None
    answer = await visitor.send("/account/sessions/end", session_id=visitor.session.id)
    assert answer.headers["location"] == "/signed-out"
    assert "idp-session" not in visitor.client.cookies


async def test_signing_out_everywhere_ends_every_session_and_raises_the_epoch(site: Site) -> None:
    account_id = await site.person()
    other = await site.visitor(await site.person(email="eve@example.com"))
    visitors = [await site.visitor(account_id) for _ in range(3)]
    await visitors[0].open("/account")
    await visitors[0].send("/account/sessions/end-all")
    assert [await is_signed_in(visitor) for visitor in visitors] == [False] * 3
    assert await is_signed_in(other)
    account = await site.database.read(accounts.find, account_id=account_id)
    assert account is not None
    assert account.token_epoch == 1
    assert await is_signed_in(await site.visitor(account_id))


async def test_a_session_is_over_for_everyone_once_the_account_is_disabled(site: Site) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    assert await is_signed_in(visitor)
    await site.database.transact(
        accounts.set_status, account_id=account_id, status="disabled", now=site.clock()
    )
    assert not await is_signed_in(visitor)


async def allow(site: Site, account_id: str, *, now: datetime) -> str:
    client_id = await site.app_client()
    await site.database.transact(
        connections.allow, account_id=account_id, client_id=client_id, scopes=["openid"], now=now
    )
    return client_id


async def test_an_apps_access_is_removed(site: Site) -> None:
    account_id = await site.person()
    client_id = await allow(site, account_id, now=site.clock())
    visitor = await site.visitor(account_id)
    assert "Demo App" in (await visitor.open("/account")).text
    answer = await visitor.send("/account/connections/withdraw", client_id=client_id)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=access-removed#apps")
    page = (await visitor.open("/account")).text
    assert "No app has access to your account." in page
    assert "You removed an app&#39;s access" in page
    assert (await visitor.send("/account/connections/withdraw", client_id=client_id)).status_code == 404


async def test_an_app_of_another_person_keeps_its_access(site: Site) -> None:
    ada = await site.person()
    client_id = await allow(site, ada, now=site.clock())
    eve = await site.visitor(await site.person(email="eve@example.com"))
    assert (await eve.send("/account/connections/withdraw", client_id=client_id)).status_code == 404
    assert await site.database.read(connections.find, account_id=ada, client_id=client_id) is not None


async def test_withdrawing_raises_the_epoch_of_the_connection_once(site: Site) -> None:
    account_id = await site.person()
    client_id = await allow(site, account_id, now=site.clock())
    withdrawn = [
        await site.database.transact(
            account_connections.withdraw, account_id=account_id, client_id=client_id, now=site.clock()
        )
        for _ in range(2)
    ]
    assert withdrawn == [True, False]
    again = await site.database.transact(
        connections.allow, account_id=account_id, client_id=client_id, scopes=["openid"], now=site.clock()
    )
    assert again.token_epoch == 1


async def test_signed_out_sessions_are_not_listed(site: Site) -> None:
    account_id = await site.person()
    here, there = await site.visitor(account_id), await site.visitor(account_id)
    await there.send("/account/sign-out")
    live = await site.database.read(
        browser_sessions.live_of_account,
        account_id=account_id,
        idle_since=site.sessions.idle_since(site.clock()),
        now=site.clock(),
    )
    assert [session.id for session in live] == [here.session.id if here.session else ""]
