from starlette.requests import Request
from starlette.responses import Response

from idp.accounts import onward
from idp.web.browser import Browsers
from idp.web.pages import Pages
from idp.web.parameters import query_parameters


class RecoverEndpoint:
    """`/recover`: what somebody without a passkey can do, said honestly; it asks and tells nothing else."""

    def __init__(self, *, browsers: Browsers, pages: Pages) -> None:
        self._browsers = browsers
        self._pages = pages

    async def get(self, request: Request) -> Response:
        request_id = onward.request_id(query_parameters(request))
        browser = self._browsers.identify(request)
        return self._pages.render("recover.html", {"request_id": request_id}, browser=browser)
