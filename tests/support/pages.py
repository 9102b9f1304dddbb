"""A person's browser at the provider's own pages, opened and answered over HTTP."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.support.node import App, Node, Person, authorization_parameters, between


@dataclass
class ConsentPage:
    """The consent page as it stands open in one browser."""

    browser: httpx.AsyncClient
    response: httpx.Response
    request_id: str

    @property
    def form(self) -> dict[str, str]:
        """What the page's form sends, but for the button."""
        token = between(self.response.text, 'name="csrf_token" value="', '"')
        return {"request": self.request_id, "csrf_token": token}

    async def press(self, decision: str, *, headers: dict[str, str] | None = None) -> httpx.Response:
        """Press a button."""
        return await self.browser.post("/consent", data=self.form | {"decision": decision}, headers=headers)

    async def go_on(self) -> httpx.Response:
        """Follow the way back to the authorization endpoint."""
        return await self.browser.get(f"/authorize?request={self.request_id}")


async def open_consent(node: Node, app: App, person: Person, **parameters: str) -> ConsentPage:
    """Send a browser of the person's to the app's request, and open the consent page that it leads to."""
    browser = node.browser(person.cookies)
    query = authorization_parameters(app) | parameters
    response = await browser.get("/authorize", params={k: v for k, v in query.items() if v})
    assert response.headers["location"].startswith("/consent?request="), response.headers["location"]
    page = await browser.get(response.headers["location"])
    assert page.status_code == 200
    return ConsentPage(browser, page, waiting_request(response))


def waiting_request(response: httpx.Response) -> str:
    """The id of the waiting request that a redirect leads to."""
    return parse_qs(urlsplit(response.headers["location"]).query)["request"][0]
