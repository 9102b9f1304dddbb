"""The headers and the pages that every answer of the provider comes with."""

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from idp.errors import AuthorizationError, TemporarilyUnavailable, TooManyRequests
from idp.storage.database import Transaction
from tests.support.edge import behind_the_edge
from tests.support.node import (
    ISSUER,
    App,
    Node,
    Person,
    authorization_parameters,
)
from tests.support.pages import open_consent

HTML = {"Accept": "text/html"}
XSS = "<script>alert(1)</script>\"'&<img src=x>"


async def answers(node: Node, app: App, person: Person) -> dict[str, httpx.Response]:
    """An answer of every kind."""
    browser = node.browser(person.cookies)
    page = await open_consent(node, app, person)
    tokens = await node.tokens(app, person)
    query = authorization_parameters(app)
    form_post = await node.allow(app, person, response_mode="form_post")
    return {
        "consent page": page.response,
        "forged form": await browser.post("/consent", data={"request": page.request_id}),
        "error page": await browser.get("/authorize"),
        "redirect to the app": await node.authorize(app, person),
        "redirect to sign in": await node.http.get("/authorize", params=query),
        "form post": form_post,
        "post to authorize": await browser.post("/authorize", data=query),
        "logout page": await browser.get("/logout"),
        "token": await node.refresh(app, tokens["refresh_token"]),
        "token error": await node.http.post("/token", data={}),
        "userinfo": await node.userinfo(tokens["access_token"]),
        "userinfo error": await node.userinfo("x"),
        "no token": await node.http.get("/userinfo"),
        "jwks": await node.http.get("/jwks"),
        "metadata": await node.http.get("/.well-known/openid-configuration"),
        "not found": await node.http.get("/nothing-here", headers=HTML),
        "not found for scripts": await node.http.get("/nothing-here", headers={"Accept": "application/json"}),
        "not allowed": await node.http.delete("/token"),
        "preflight": await node.http.options("/token"),
        "health": await node.http.get("/healthz"),
        "style": await node.http.get("/static/style.css"),
        "no file": await node.http.get("/static/x"),
    }


@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [
        ("https://app.example:8443/cb", "https://app.example:8443"),
        ("http://127.0.0.1:51004/cb", "http://127.0.0.1:51004"),
        # CSP3 §2.3.1 (host-char) has no brackets: browsers pass such a source over.
        ("http://[::1]:51004/cb", "http:"),
        ("com.example.app:/cb", "com.example.app:"),
    ],
)
async def test_a_forms_target_is_named_so_that_browsers_understand_it(
    node: Node, person: Person, redirect_uri: str, source: str
) -> None:
    app = await node.app(application_type="native", redirect_uris=[redirect_uri])

    page = await open_consent(node, app, person)

    policy = page.response.headers["content-security-policy"]
    assert policy.split("form-action ")[1].split(";")[0] == f"'self' {source}"


def raising(error: BaseException) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (TemporarilyUnavailable(detail="database: x", retry_after_seconds=7), 503, "answer just now"),
        (TooManyRequests(retry_after_seconds=7), 429, "Too many tries"),
    ],
)
@pytest.mark.parametrize("place", ["anywhere", "authorization"])
async def test_trouble_is_told_to_a_person_with_the_time_to_wait(
    error: TemporarilyUnavailable | TooManyRequests, status: int, words: str, place: str
) -> None:
    raised = AuthorizationError(error, target=None) if place == "authorization" else error
    transport = httpx.ASGITransport(behind_the_edge(raising(raised)))
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as browser:
        response = await browser.get("/", headers=HTML)

    assert response.status_code == status
    assert response.headers["retry-after"] == "7"
    assert words in response.text
    assert "isn't one it registered" not in response.text


async def drop(node: Node, table: str) -> None:
    async def execute(tx: Transaction) -> None:
        await tx.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_gone")

    await node.provider.database.transact(execute)


@pytest.mark.parametrize("table", ["browser_sessions", "connections", "interactions", "accounts"])
async def test_no_code_is_given_while_a_check_cannot_be_made(
    node: Node, app: App, person: Person, table: str
) -> None:
    await node.tokens(app, person)
    await drop(node, table)

    response = await node.authorize(app, person, prompt="consent")

    assert response.status_code == 503
    assert "location" not in response.headers
    page = await node.browser(person.cookies).get(
        "/authorize", params=authorization_parameters(app) | {"prompt": "login"}, headers=HTML
    )
    assert page.status_code == 503
    assert int(page.headers["retry-after"]) > 0
