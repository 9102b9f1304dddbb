import pytest

from idp.storage import accounts
from tests.accounts.site import Site, Visitor
from tests.accounts.test_account_page import HOSTILE, assert_inert

REQUEST = "A" * 22


async def noticed(
    site: Site, *, client_name: str = "Demo App", at: str = "2026-07-01T10:00:00+00:00"
) -> Visitor:
    account_id = await site.person()
    await site.database.transact(
        accounts.leave_notice,
        account_id=account_id,
        notice={"kind": "refresh_token_reused", "client_name": client_name, "at": at},
    )
    return await site.visitor(account_id)


async def test_the_notice_says_what_was_seen_and_goes_on_once_read(site: Site) -> None:
    visitor = await noticed(site)
    page = await visitor.open(f"/notice?request={REQUEST}")
    assert page.status_code == 200
    for words in ("We signed you out everywhere", "Demo App", "2 hours ago", REQUEST):
        assert words in page.text
    answer = await visitor.send("/notice", request=REQUEST)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/authorize?request={REQUEST}")
    assert (await visitor.open("/notice")).headers["location"] == "/account"


async def test_looking_at_the_notice_does_not_clear_it(site: Site) -> None:
    visitor = await noticed(site)
    for _ in range(3):
        assert (await visitor.open("/notice")).status_code == 200


@pytest.mark.parametrize(
    "request_id", ["", "x", "https://evil.example/aaaaa", "//evil.example/aaaaaaa", "A" * 23]
)
async def test_it_goes_on_to_nowhere_but_our_own_pages(site: Site, request_id: str) -> None:
    visitor = await noticed(site)
    await visitor.client.get("/notice", params={"request": request_id})
    answer = await visitor.send("/notice", request=request_id)
    assert answer.headers["location"] == "/account"


async def test_signed_out_it_leads_to_sign_in_with_the_request(site: Site) -> None:
    answer = await (await site.visitor()).open(f"/notice?request={REQUEST}")
    assert answer.headers["location"] == f"/login?request={REQUEST}"


@pytest.mark.parametrize("at", ["", "yesterday", "2026-07-01"])
async def test_a_strange_notice_is_shown_all_the_same(site: Site, at: str) -> None:
    account_id = await site.person()
    visitor = await site.visitor(account_id)
    for name in ("", *HOSTILE):
        notice = {"kind": "refresh_token_reused", "client_name": name, "at": at}
        await site.database.transact(accounts.leave_notice, account_id=account_id, notice=notice)
        page = await visitor.open("/notice")
        assert page.status_code == 200
        assert_inert(page.text)
