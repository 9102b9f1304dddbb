"""What the ceremonies' scripts say and do when a passkey is not simply used."""

import sqlite3
from contextlib import closing

from playwright.sync_api import expect

from tests.journeys.visitor import Visitor
from tests.support.server_process import DevServer

CANCELLED = "Nothing happened. Try again, or use another method."
NO_PASSKEY_HERE = "This device has no passkey for this site."
REMOVED = "That passkey was removed from your account. Your password manager has been told; pick another one."
# Browsers of before 2025, and extensions that stand in for the browser.
WITHOUT_NATIVE_JSON = """
    PublicKeyCredential.parseCreationOptionsFromJSON = undefined;
    PublicKeyCredential.parseRequestOptionsFromJSON = undefined;
    PublicKeyCredential.prototype.toJSON = undefined;
"""


# The virtual device shows no dialog that could be closed, so the first one is closed here.
FIRST_DIALOG_CLOSED = """
    const create = navigator.credentials.create.bind(navigator.credentials);
    let isFirst = true;
    navigator.credentials.create = async (options) => {
      if (isFirst) {
        isFirst = false;
        throw new DOMException("closed", "NotAllowedError");
      }
      return create(options);
    };
"""


def sign_up(visitor: Visitor, dev: DevServer, *, email: str) -> None:
    visitor.page.goto(f"{dev.issuer}/signup")
    visitor.fill_in(email=email, name="Ada")
    visitor.press("Create passkey")
    visitor.page.wait_for_url("**/account")


def forget_every_passkey(dev: DevServer) -> None:
    """Remove them from the server alone, as another device could have done."""
    with closing(sqlite3.connect(dev.process.folder / "var" / "idp.db")) as database, database:
        database.execute("DELETE FROM credentials")


def test_a_device_without_a_passkey_says_so_and_the_button_works_again(
    dev: DevServer, visitor: Visitor
) -> None:
    button = visitor.page.get_by_role("button", name="Use passkey")
    visitor.page.goto(f"{dev.issuer}/login")

    visitor.press("Use passkey")

    visitor.sees(NO_PASSKEY_HERE)
    expect(button).to_be_enabled()
    expect(button).to_be_focused()


def test_who_says_no_and_then_yes_has_one_account(dev: DevServer, visitor: Visitor) -> None:
    begun: list[str] = []
    visitor.page.on("request", lambda sent: begun.append(f"{sent.method} {sent.url}"))
    visitor.page.add_init_script(FIRST_DIALOG_CLOSED)
    visitor.page.goto(f"{dev.issuer}/signup")
    visitor.fill_in(email="twice@example.com", name="Ada")
    visitor.press("Create passkey")
    visitor.sees(CANCELLED)

    visitor.press("Create passkey")

    visitor.page.wait_for_url("**/account")
    assert begun.count(f"POST {dev.issuer}/signup") == 1


def test_a_device_that_has_a_passkey_is_not_given_another(dev: DevServer, visitor: Visitor) -> None:
    sign_up(visitor, dev, email="full@example.com")

    visitor.press("Add passkey")
    visitor.press("Confirm with passkey")

    visitor.sees("This device already has a passkey for your account.")
    assert visitor.passkey_count == 1


def test_a_passkey_that_no_account_has_any_more_leaves_the_device(dev: DevServer, visitor: Visitor) -> None:
    sign_up(visitor, dev, email="removed@example.com")
    # The account page tells the device which passkeys count; it must have done so before they are forgotten.
    visitor.page.wait_for_load_state("networkidle")
    forget_every_passkey(dev)
    visitor.context.clear_cookies()

    visitor.page.goto(f"{dev.issuer}/login")

    visitor.sees(REMOVED)
    assert visitor.passkey_count == 0


def test_browsers_without_json_conversion_sign_up_and_in(dev: DevServer, visitor: Visitor) -> None:
    visitor.page.add_init_script(WITHOUT_NATIVE_JSON)
    sign_up(visitor, dev, email="older@example.com")
    visitor.context.clear_cookies()

    visitor.page.goto(f"{dev.issuer}/login")

    visitor.page.wait_for_url("**/account")


def test_a_browser_without_passkeys_says_so(dev: DevServer, visitor: Visitor) -> None:
    visitor.page.add_init_script(
        "Object.defineProperty(window, 'PublicKeyCredential', { value: undefined });"
    )

    visitor.page.goto(f"{dev.issuer}/login")

    visitor.sees("This browser can't use passkeys.")
    expect(visitor.page.get_by_role("button", name="Use passkey")).to_be_disabled()
