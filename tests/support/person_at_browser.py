"""A person with a passkey at a browser, who signs in and allows whatever the provider's pages ask for."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx

from tests.support.software_authenticator import SoftwareAuthenticator

MAX_STEPS = 12
Json = dict[str, Any]  # Any: what an answer holds is for the reader of each member to say.


@dataclass
class Form:
    """One form of a page, with its hidden fields."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """What a browser would find on a page of the provider."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.csrf_token = ""
        self._is_in_form = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "main":
            self.csrf_token = values.get("data-csrf", "")
        if tag == "form":
            self.forms.append(
                Form(method=values.get("method", "get").lower(), action=values.get("action", ""))
            )
            self._is_in_form = True
        if self._is_in_form and tag == "input" and values.get("type") == "hidden":
            self.forms[-1].fields.append((values["name"], values.get("value", "")))
        if self._is_in_form and tag == "button":
            self.forms[-1].buttons.append(values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_in_form = False


@dataclass
class Outcome:
    """Where a request led: back to the client, or to a page that went no further."""

    visited: list[str]
    """The pages that the person saw, in order."""
    callback: list[tuple[str, str]] | None = None
    """The parameters that came back to the client; None: nothing came back."""
    came_by: str = ""
    page: httpx.Response | None = None

    @property
    def answer(self) -> dict[str, str]:
        """What came back, each parameter once."""
        assert self.callback is not None, self.page.text if self.page else self.visited
        assert len(dict(self.callback)) == len(self.callback), "a parameter came back twice"
        return dict(self.callback)


class PersonAtBrowser:
    """Follows redirects and answers pages as a person does, but for scripts: a passkey in software."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, issuer: str) -> None:
        self._transport = transport
        self._issuer = issuer
        self._device = SoftwareAuthenticator()
        self._browser = self._new_browser()

    def _new_browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, base_url=self._issuer)

    async def close(self) -> None:
        await self._browser.aclose()

    async def take_another_browser(self) -> None:
        """Go on in a browser without cookies; the passkey comes along."""
        await self.close()
        self._browser = self._new_browser()

    async def sign_up(self, *, email: str, name: str) -> None:
        """Create an account on the provider's own page."""
        page = Page((await self._browser.get("/signup")).text)
        begun = await self._post(page, "/signup", {"email": email, "name": name, "request": ""})
        enrolment = {"enrolment": begun["enrolment"]}
        options = await self._post(page, "/passkeys/enrolment/options", enrolment)
        credential = self._device.create(options, origin=self._issuer)
        await self._post(page, "/passkeys/enrolment", enrolment | {"credential": credential, "request": ""})

    async def visit(self, address: str, *, redirect_uri: str, form: Json | None = None) -> Outcome:
        """Open an address, or post a form to it, and go on to the client or to where nothing leads on."""
        response = await (self._browser.post(address, data=form) if form else self._browser.get(address))
        visited: list[str] = []
        for _ in range(MAX_STEPS):
            if response.has_redirect_location:
                location = response.headers["location"]
                if _is_client(location, redirect_uri):
                    return Outcome(visited, _parameters_of(location), "query")
                response = await self._browser.get(location)
                continue
            path = response.url.path
            posted = [form for form in Page(response.text).forms if _is_client(form.action, redirect_uri)]
            if posted:
                assert posted[0].method == "post"
                return Outcome(visited, _parameters_of(posted[0].action) + posted[0].fields, "form_post")
            if response.status_code != 200 or path not in {"/login", "/consent"}:
                return Outcome(visited, page=response)
            visited.append(path)
            response = await (self._sign_in(response) if path == "/login" else self._allow(response))
        raise AssertionError(f"the way does not end: {visited}")

    async def _sign_in(self, response: httpx.Response) -> httpx.Response:
        page = Page(response.text)
        options = await self._post(page, "/passkeys/authentication/options", {})
        credential = self._device.get(options, origin=self._issuer)
        request = parse_qs(response.url.query.decode())["request"][0]
        answer = await self._post(
            page, "/passkeys/authentication", {"credential": credential, "request": request}
        )
        return await self._browser.get(answer["continue"])

    async def _allow(self, response: httpx.Response) -> httpx.Response:
        (form,) = (form for form in Page(response.text).forms if form.action == "/consent")
        assert "allow" in form.buttons
        return await self._browser.post("/consent", data=dict(form.fields) | {"decision": "allow"})

    async def _post(self, page: Page, path: str, body: Json) -> Json:
        headers = {
            "Origin": self._issuer,
            "Sec-Fetch-Site": "same-origin",
            "X-CSRF-Token": page.csrf_token,
            "Accept": "application/json",
        }
        response = await self._browser.post(path, json=body, headers=headers)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer


def _parameters_of(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


def _is_client(address: str, redirect_uri: str) -> bool:
    return address.partition("?")[0] == redirect_uri.partition("?")[0]
