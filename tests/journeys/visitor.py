"""A person at a real browser, whose device holds passkeys."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Playwright, sync_playwright

# A sandbox inside a container needs privileges that tests do not have; the rest keeps the browser from
# talking to anybody but the servers under test.
_FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_MS = 15_000


@contextmanager
def running_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        yield browser
        browser.close()


def _launch(playwright: Playwright) -> Browser:
    installed = next((path for name in _NAMES if (path := shutil.which(name))), None)
    return playwright.chromium.launch(executable_path=installed, args=_FLAGS)


class Visitor:
    """One person with one device: a browser profile of their own and its built-in authenticator."""

    def __init__(
        self,
        browser: Browser,
        *,
        width: int = 1280,
        height: int = 800,
        color_scheme: Literal["light", "dark"] = "light",
    ) -> None:
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=color_scheme
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.faults: list[str] = []
        self.page = self.new_tab()
        self._device, self._authenticator_id = self._new_authenticator(self.page)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.context.close()

    def new_tab(self) -> Page:
        """Open another tab; a script's fault or a breach of a page's policy is noted."""
        page = self.context.new_page()
        page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        page.on("console", lambda message: self._note(message.text))
        return page

    def _note(self, text: str) -> None:
        if "Content Security Policy" in text or "Permissions policy" in text:
            self.faults.append(text)

    def _new_authenticator(self, page: Page) -> tuple[CDPSession, str]:
        device = self.context.new_cdp_session(page)
        device.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        added = device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return device, str(added["authenticatorId"])

    def touch_device(self, *, is_touched: bool) -> None:
        """Let the device answer at once from now on, or wait for a finger that does not come."""
        self._device.send(
            "WebAuthn.setAutomaticPresenceSimulation",
            {"authenticatorId": self._authenticator_id, "enabled": is_touched},
        )

    @property
    def passkey_count(self) -> int:
        """How many passkeys the device holds."""
        held = self._device.send("WebAuthn.getCredentials", {"authenticatorId": self._authenticator_id})
        return len(held["credentials"])

    def add_phone(self) -> str:
        """Have a second device at hand, which the browser reaches as a phone; answer its name."""
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "hybrid",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        return str(
            self._device.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
        )

    def passkeys_on(self, authenticator_id: str) -> int:
        """How many passkeys another device holds."""
        held = self._device.send("WebAuthn.getCredentials", {"authenticatorId": authenticator_id})
        return len(held["credentials"])

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()

    def sees(self, text: str) -> None:
        """Wait until the page says so."""
        self.page.get_by_text(text).first.wait_for()

    def sees_heading(self, name: str) -> None:
        """Wait until the page has this as its heading."""
        self.page.get_by_role("heading", level=1, name=name).wait_for()

    def fill_in(self, *, email: str, name: str) -> None:
        """Say who one is, on the page that creates an account."""
        self.page.get_by_role("textbox", name="Email").fill(email)
        self.page.get_by_role("textbox", name="Name").fill(name)

    def create_account(self, demo: str, *, email: str = "ada@example.com", name: str = "Ada") -> None:
        """Go from the demo app to a new account and back."""
        self.page.goto(demo)
        self.follow("Sign in")
        self.follow("Create account")
        self.fill_in(email=email, name=name)
        self.press("Create passkey")
        self.press("Allow")
        self.sees_heading(f"You are signed in, {name}")

    def claim(self, token: Literal["ID token", "Access token"], name: str) -> str:
        """Read a claim of a token that the demo app shows."""
        region = self.page.get_by_role("region", name=token)
        row = region.get_by_role("row").filter(has=self.page.get_by_role("rowheader", name=name, exact=True))
        return row.get_by_role("cell").locator("code").inner_text()
