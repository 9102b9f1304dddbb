"""A passkey account's life between signing in and leaving, in a real browser."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.journeys.visitor import Visitor
from tests.support.server_process import DevServer


def sign_up(visitor: Visitor, dev: DevServer, *, email: str) -> None:
    visitor.page.goto(f"{dev.issuer}/signup")
    visitor.fill_in(email=email, name="Ada")
    visitor.press("Create passkey")
    visitor.page.wait_for_url("**/account")


def confirm(visitor: Visitor, heading: str) -> None:
    visitor.sees_heading(heading)
    visitor.press("Confirm with passkey")


def test_a_person_adds_renames_and_removes_a_passkey_and_the_device_follows(
    dev_on_either: DevServer, visitor: Visitor, tmp_path: Path
) -> None:
    page = visitor.page
    sign_up(visitor, dev_on_either, email="ada@example.com")
    first_device = visitor.passkey_count
    phone = visitor.add_phone()

    visitor.press("Add passkey")
    confirm(visitor, "Is this you, adding a passkey?")
    visitor.sees("The passkey was added.")
    assert (first_device, visitor.passkeys_on(phone)) == (1, 1)

    newest = page.get_by_role("region", name="Passkeys").get_by_role("listitem").last
    newest.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Passkey name").locator("visible=true").fill("Ada's phone")
    page.get_by_role("button", name="Save name").locator("visible=true").click()
    visitor.sees("The passkey has its new name.")

    newest.get_by_role("button", name="Remove").click()
    confirm(visitor, "Is this you, removing “Ada's phone”?")
    visitor.sees("The passkey was removed.")
    # WebAuthn L3, Signal API: the password manager forgets what the account no longer accepts.
    expect(page.get_by_role("region", name="Passkeys").get_by_role("listitem")).to_have_count(1)
    page.wait_for_timeout(300)
    assert visitor.passkeys_on(phone) == 0
    assert visitor.passkey_count == 1

    page.get_by_role("textbox", name="Another address").fill("new@example.com")
    visitor.press("Add address")
    confirm(visitor, "Is this you, adding new@example.com?")
    visitor.sees("The address was added.")

    with page.expect_download() as download:
        visitor.press("Export my data")
    saved = tmp_path / "account.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text())["account"]["name"] == "Ada"

    visitor.press("Delete my account")
    confirm(visitor, "Is this you, deleting your account?")
    visitor.sees("Your account will be deleted on")
    visitor.press("Keep my account")
    visitor.sees("Your account stays as it is.")
    expect(page.get_by_text(re.compile("will be deleted on"))).to_have_count(0)


def test_who_cancels_the_confirmation_has_changed_nothing(dev: DevServer, visitor: Visitor) -> None:
    sign_up(visitor, dev, email="cancel@example.com")
    visitor.press("Delete my account")
    visitor.sees_heading("Is this you, deleting your account?")
    visitor.follow("Cancel, nothing changes")
    visitor.sees_heading("Your account")
    expect(visitor.page.get_by_text(re.compile("will be deleted on"))).to_have_count(0)
