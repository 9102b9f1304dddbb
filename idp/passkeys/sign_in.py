"""The last step that enrolment and authentication share: this browser is signed in."""

from dataclasses import dataclass, field
from datetime import datetime

from idp import audit
from idp.passkeys.authentication_strength import AuthenticationStrength
from idp.sessions import browser_session
from idp.sessions.browser_session import Authentication
from idp.settings import Sessions
from idp.storage import interactions
from idp.storage.accounts import Account
from idp.storage.browser_sessions import BrowserSession
from idp.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class SigningInBrowser:
    """The browser that a ceremony signs in: what it is known by, and what it will be known by.

    `session` is the one that it still has, if any.
    """

    sha256: bytes
    renewed_sha256: bytes
    session: BrowserSession | None
    user_agent: str
    address: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session's cookie, and what the person sees before they go on: word that waits, or an offer."""

    cookie_token: str = field(repr=False)
    has_notice: bool
    is_offered_passkey: bool = False


async def start(
    tx: Transaction,
    account: Account,
    *,
    credential_id: bytes,
    strength: AuthenticationStrength,
    browser: SigningInBrowser,
    lifetimes: Sessions,
    now: datetime,
) -> SignedIn:
    """Sign the browser in; what waits in it is carried to its new name."""
    started = await browser_session.start(
        tx,
        Authentication(
            account_id=account.id,
            account_epoch=account.token_epoch,
            credential_id=credential_id,
            amr=strength.amr,
            acr=strength.acr,
        ),
        lifetimes=lifetimes,
        user_agent=browser.user_agent,
        address=browser.address,
        now=now,
        previous=browser.session,
    )
    # ASVS 7.2.4: whoever planted the browser's cookie holds a value that nothing waits under any more.
    await interactions.rebind(
        tx, old_browser_sha256=browser.sha256, new_browser_sha256=browser.renewed_sha256
    )
    await audit.record(
        tx, "sign_in", account_id=account.id, details={"acr": strength.acr, "amr": [*strength.amr]}, now=now
    )
    return SignedIn(cookie_token=started.cookie_token, has_notice=account.notice is not None)
