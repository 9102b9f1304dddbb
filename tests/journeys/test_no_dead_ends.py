"""Whatever a person does with Back, Reload, tabs and old pages, there is a way on."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.visitor import Visitor
from tests.support.server_process import DevServer

UNKNOWN_REQUEST = "AAAAAAAAAAAAAAAAAAAAAA"


def ways_on(page: Page) -> list[str]:
    """What can be followed or pressed on the page, without the link that skips to its content."""
    return page.locator("main a[href], main button:enabled").all_inner_texts()


def test_back_to_the_question_leads_on_to_the_app(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="back@example.com", name="Back")
    visitor.page.go_back()
    if visitor.page.get_by_role("button", name="Allow").count():
        visitor.press("Allow")
    visitor.sees_heading("You already finished signing in to Demo App")
    visitor.follow("Go to Demo App")
    visitor.sees_heading("You are signed in, Back")


def test_back_to_the_sign_in_page_leads_on_to_the_app(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="back2@example.com", name="Back")
    visitor.touch_device(is_touched=False)
    for _ in range(3):
        visitor.page.go_back()
        expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
        assert ways_on(visitor.page), visitor.page.url
    visitor.sees_heading("Sign in to Demo App")
    visitor.press("Use passkey")
    visitor.touch_device(is_touched=True)
    visitor.sees_heading("You already finished signing in to Demo App")
    visitor.follow("Go to Demo App")
    visitor.sees_heading("You are signed in, Back")


def test_every_page_of_the_way_survives_a_reload(dev: DevServer, visitor: Visitor) -> None:
    page = visitor.page
    visitor.touch_device(is_touched=False)
    page.goto(dev.demo)
    visitor.follow("Sign in")
    page.reload()
    visitor.sees_heading("Sign in to Demo App")
    visitor.follow("Create account")
    page.reload()
    visitor.touch_device(is_touched=True)
    visitor.fill_in(email="reload@example.com", name="Reload")
    visitor.press("Create passkey")
    page.get_by_role("button", name="Allow").wait_for()
    page.reload()
    visitor.press("Allow")
    visitor.sees_heading("You are signed in, Reload")
    page.reload()
    visitor.sees_heading("You are signed in, Reload")
    visitor.press("Call API")
    visitor.sees("The API accepted the access token")
    page.reload()
    visitor.sees_heading("You are signed in, Reload")


def test_two_tabs_begin_a_sign_in_and_both_arrive(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="tabs@example.com", name="Tabs")
    visitor.press("Sign out")
    visitor.sees("You are signed out")
    visitor.touch_device(is_touched=False)
    visitor.follow("Sign in")
    visitor.sees_heading("Sign in to Demo App")
    other = visitor.new_tab()
    other.goto(f"{dev.demo}/sign-in")
    other.get_by_role("heading", name="Sign in to Demo App").wait_for()

    # The first tab arrives first, though the app has begun anew in the second meanwhile.
    visitor.press("Use passkey")
    visitor.touch_device(is_touched=True)
    visitor.sees_heading("You are signed in, Tabs")
    # The second one goes on from where it waits; signed in at the provider by now, it needs no passkey.
    request = parse_qs(urlsplit(other.url).query)["request"][0]
    other.goto(f"{dev.issuer}/authorize?request={request}")
    other.get_by_role("heading", name="You are signed in, Tabs").wait_for()


def test_a_page_that_waited_too_long_says_so_and_goes_on(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="late@example.com", name="Late")
    visitor.page.goto(f"{dev.issuer}/consent?request={UNKNOWN_REQUEST}")
    assert ways_on(visitor.page)
    visitor.page.goto(f"{dev.issuer}/authorize?request={UNKNOWN_REQUEST}")
    assert ways_on(visitor.page)


def test_signing_in_for_a_request_that_is_gone_still_leads_somewhere(
    dev: DevServer, visitor: Visitor
) -> None:
    visitor.create_account(dev.demo, email="gone@example.com", name="Gone")
    visitor.press("Sign out")
    visitor.sees("You are signed out")
    visitor.page.goto(f"{dev.issuer}/login?request={UNKNOWN_REQUEST}")
    # The passkey is offered at once, as always.
    visitor.page.wait_for_url(lambda address: "/login" not in address)
    expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
    assert ways_on(visitor.page)


def test_a_form_left_open_in_another_tab_explains_itself(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="stale@example.com", name="Stale")
    other = visitor.new_tab()
    other.goto(dev.demo)
    visitor.press("Sign out")
    visitor.sees("You are signed out")
    other.get_by_role("button", name="Refresh").click()
    other.get_by_role("heading", name="This page is out of date").wait_for()
    other.get_by_role("link", name="Back to the start").click()
    other.get_by_role("link", name="Sign in", exact=True).wait_for()


@pytest.mark.parametrize(
    "path", ["/login", "/login/methods", "/signup", "/recover", "/account", "/no-such-page"]
)
def test_no_page_is_a_dead_end_for_somebody_who_came_without_an_app(
    dev: DevServer, visitor: Visitor, path: str
) -> None:
    visitor.page.goto(dev.issuer + path)
    expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
    assert ways_on(visitor.page)


@pytest.mark.parametrize(
    "query",
    ["", "?client_id=nobody", "?client_id=demo&redirect_uri=https://evil.example/cb&response_type=code"],
)
def test_a_request_that_must_not_be_redirected_explains_itself(
    dev: DevServer, visitor: Visitor, query: str
) -> None:
    answer = visitor.page.goto(f"{dev.issuer}/authorize{query}")
    assert answer is not None
    assert answer.status == 400
    assert visitor.page.url.startswith(dev.issuer)
    visitor.sees("reference")


def test_the_first_administrators_link_works_once(dev: DevServer, visitor: Visitor) -> None:
    link = dev.first_administrator_link
    assert link is not None
    visitor.page.goto(link)
    visitor.sees_heading("Set up the first administrator")
    visitor.fill_in(email="root@example.com", name="Root")
    visitor.press("Create passkey")
    visitor.page.wait_for_url(f"{dev.issuer}/account")
    visitor.sees("root@example.com")

    visitor.context.clear_cookies()
    visitor.page.goto(link)
    visitor.sees_heading("This link doesn't work any more")
    assert ways_on(visitor.page)
