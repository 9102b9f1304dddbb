import hashlib
import hmac
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from idp import opaque_token
from idp.errors import NextStep, PageError

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
_TOKEN_LENGTH = 43
_START_AGAIN = NextStep("Start again", "/login")


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser, signed in or not, by the random token in its cookie."""

    token: str
    is_new: bool
    csrf_token: str

    @property
    def sha256(self) -> bytes:
        """What the database knows the browser by."""
        return opaque_token.sha256(self.token)


class Browsers:
    """Tells browsers apart before anyone has signed in, and guards their forms against other sites."""

    def __init__(self, *, csrf_key: bytes, origin: str, is_https: bool) -> None:
        self._csrf_key = csrf_key
        self._origin = origin
        self._is_https = is_https
        # RFC 6265bis §4.1.3.2: the prefix keeps sibling hosts and plain http from planting it.
        self._cookie = "__Host-idp-browser" if is_https else "idp-browser"

    def identify(self, request: Request) -> Browser:
        """Answer the request's browser; one without a (well-formed) cookie gets a new token."""
        token = request.cookies.get(self._cookie, "")
        if len(token) == _TOKEN_LENGTH and opaque_token.decode(token) is not None:
            return Browser(token=token, is_new=False, csrf_token=self._csrf_token(token))
        return self.renewed()

    def renewed(self) -> Browser:
        """Answer a new token: at sign-in, so that a planted one is worth nothing."""
        token = opaque_token.new_token()
        return Browser(token=token, is_new=True, csrf_token=self._csrf_token(token))

    def remember(self, response: Response, browser: Browser) -> None:
        """Put a new token into its cookie."""
        if browser.is_new:
            # SameSite=Lax: a client sends people here from its own site.
            response.set_cookie(
                self._cookie, browser.token, httponly=True, secure=self._is_https, samesite="lax", path="/"
            )

    def check_origin(self, request: Request) -> None:
        """Refuse a state-changing request that another site's page sent."""
        if not self._is_from_here(request):
            raise _forged("foreign origin", next_step=_START_AGAIN)

    def check_form(
        self,
        request: Request,
        browser: Browser,
        *,
        presented_token: str | None,
        next_step: NextStep | None = None,
    ) -> None:
        """Refuse a form or script request that does not come from one of our own pages in this browser.

        `next_step` is where the person goes on from the refusal; None: they start again.
        """
        step = next_step or _START_AGAIN
        if not self._is_from_here(request):
            raise _forged("foreign origin", next_step=step)
        if presented_token is None or not hmac.compare_digest(
            presented_token.encode(), browser.csrf_token.encode()
        ):
            raise _forged("csrf token", next_step=step)

    def _is_from_here(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site")
        # Fetch §3.2 (Origin header): our pages say Referrer-Policy: no-referrer, so their own forms arrive
        # with "Origin: null". What no page can write, Sec-Fetch-Site, then tells them from a stranger's.
        if origin == "null":
            return site == "same-origin"
        return origin in {None, self._origin} and site in {None, "same-origin", "none"}

    def _csrf_token(self, token: str) -> str:
        return opaque_token.encode(hmac.digest(self._csrf_key, token.encode(), hashlib.sha256))


def _forged(detail: str, *, next_step: NextStep) -> PageError:
    return PageError(
        "This page is out of date",
        "It was open for too long, or another site sent it. Nothing was changed.",
        code="forged_request",
        status=403,
        next_step=next_step,
        detail=detail,
    )
