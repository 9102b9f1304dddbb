"""The way of a person, from the demo app to a passkey and back, in a real browser."""

import signal
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.journeys.visitor import Visitor
from tests.support.server_process import DevServer, free_port, running_dev


def test_a_person_creates_an_account_uses_the_app_and_comes_back_without_typing(
    dev_on_either: DevServer, visitor: Visitor
) -> None:
    dev, page = dev_on_either, visitor.page
    page.goto(dev.demo)
    visitor.follow("Sign in")
    visitor.sees_heading("Sign in to Demo App")
    visitor.follow("Create account")
    visitor.fill_in(email="ada@example.com", name="Ada Lovelace")
    visitor.press("Create passkey")
    visitor.sees_heading("Demo App")
    expect(page.get_by_role("button", name="Deny")).to_be_visible()
    visitor.press("Allow")

    visitor.sees_heading("You are signed in, Ada Lovelace")
    assert page.url == f"{dev.demo}/"
    visitor.sees("ada@example.com")
    assert visitor.claim("ID token", "iss") == dev.issuer
    assert visitor.claim("ID token", "aud") == "demo"
    assert f"{dev.demo}/api" in visitor.claim("Access token", "aud")
    subject = visitor.claim("ID token", "sub")
    assert visitor.claim("Access token", "sub") == subject

    visitor.press("Call API")
    visitor.sees("The API accepted the access token")
    visitor.sees(f'"you_are": "{subject}"')

    first = visitor.claim("Access token", "jti")
    visitor.press("Refresh")
    visitor.sees("The provider gave fresh tokens.")
    assert visitor.claim("Access token", "jti") != first
    assert visitor.claim("ID token", "sub") == subject

    visitor.press("Sign out")
    visitor.sees("You are signed out, here and at the provider.")
    assert page.url.startswith(f"{dev.demo}/signed-out")

    # The passkey is offered by the e-mail field itself: nothing is typed or pressed at the provider.
    visitor.follow("Sign in")
    visitor.sees_heading("You are signed in, Ada Lovelace")
    assert visitor.claim("ID token", "sub") == subject
    assert visitor.passkey_count == 1


def test_a_person_types_the_address_and_presses_the_button(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="grace@example.com", name="Grace")
    visitor.press("Sign out")
    visitor.touch_device(is_touched=False)
    visitor.follow("Sign in")
    email = visitor.page.get_by_role("textbox", name="Email")
    assert email.get_attribute("autocomplete") == "username webauthn"
    email.fill("grace@example.com")
    visitor.press("Use passkey")
    # Only now: a finger on the device would also answer the e-mail field's own offer.
    visitor.touch_device(is_touched=True)
    visitor.sees_heading("You are signed in, Grace")


def test_signed_in_at_the_provider_the_next_sign_in_asks_nothing(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="joan@example.com", name="Joan")
    visitor.touch_device(is_touched=False)
    visitor.context.clear_cookies(name="demo-session")
    visitor.page.goto(dev.demo)
    visitor.follow("Sign in")
    visitor.sees_heading("You are signed in, Joan")


def test_saying_no_leads_back_to_the_app_and_shares_nothing(dev: DevServer, visitor: Visitor) -> None:
    visitor.page.goto(dev.demo)
    visitor.follow("Sign in")
    visitor.follow("Create account")
    visitor.fill_in(email="no@example.com", name="No")
    visitor.press("Create passkey")
    visitor.press("Deny")
    visitor.sees_heading("You are not signed in")
    visitor.sees("nothing was shared")
    # Another thought: the way is still open.
    visitor.follow("Sign in")
    visitor.press("Allow")
    visitor.sees_heading("You are signed in, No")


def test_the_whole_way_works_by_keyboard_alone(dev: DevServer, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(dev.demo)

    def reach(role: str, name: str) -> None:
        """Tab until the control has the focus, as a person would who sees where it is."""
        wanted = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]  # a role by its name
        for _ in range(15):
            page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                outline = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline != "none", f"{name} does not show its focus"
                return
        raise AssertionError(f"{name} cannot be reached")

    reach("link", "Sign in")
    page.keyboard.press("Enter")
    visitor.sees_heading("Sign in to Demo App")
    reach("link", "Create account")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Create passkey").wait_for()
    reach("textbox", "Email")
    page.keyboard.type("kay@example.com")
    reach("textbox", "Name")
    page.keyboard.type("Kay")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Allow").wait_for()
    reach("button", "Allow")
    page.keyboard.press("Enter")
    visitor.sees_heading("You are signed in, Kay")
    reach("button", "Call API")
    page.keyboard.press("Enter")
    visitor.sees("The API accepted the access token")
    reach("button", "Sign out")
    page.keyboard.press("Enter")
    visitor.sees("You are signed out")


def test_ctrl_c_stops_everything_and_the_data_stays(chromium: Browser, tmp_path: Path) -> None:
    ports = (free_port(), free_port())
    with Visitor(chromium) as visitor:
        with running_dev(tmp_path, ports=ports) as dev:
            visitor.create_account(dev.demo, email="stay@example.com", name="Stay")
            assert dev.process.stop(signal.SIGINT) == 0
        with running_dev(tmp_path, ports=ports) as dev:
            # The app's memory is gone, the account and its passkey are not.
            visitor.page.goto(dev.demo)
            visitor.context.clear_cookies()
            visitor.follow("Sign in")
            visitor.sees_heading("You are signed in, Stay")
            assert dev.process.stop(signal.SIGTERM) == 0
        assert visitor.faults == []
