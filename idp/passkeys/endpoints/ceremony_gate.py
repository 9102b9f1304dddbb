from dataclasses import dataclass

from starlette.requests import Request

from idp.web.browser import CSRF_HEADER, Browser, Browsers
from idp.web.parameters import Json, json_object
from idp.web.rate_limit import RateLimiter


@dataclass(frozen=True, slots=True)
class CeremonyRequest:
    """What a script of ours sent, from a browser that is known."""

    browser: Browser
    body: dict[str, Json]


class CeremonyGate:
    """Lets a ceremony's request in: counted, from one of our own pages in this browser, and strict JSON."""

    def __init__(self, *, browsers: Browsers, rate_limiter: RateLimiter) -> None:
        self._browsers = browsers
        self._rate_limiter = rate_limiter

    async def admit(self, request: Request) -> CeremonyRequest:
        """Answer the request's browser and body; raises TooManyRequests, PageError or InvalidRequest."""
        await self._rate_limiter.count_caller("ceremony")
        browser = self._browsers.identify(request)
        self._browsers.check_form(request, browser, presented_token=request.headers.get(CSRF_HEADER))
        return CeremonyRequest(browser=browser, body=await json_object(request))
