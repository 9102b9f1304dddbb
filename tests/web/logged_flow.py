"""A process of its own that does everything a node does, so that a test can read its whole log.

    python -m tests.web.logged_flow FORMAT DATABASE_URL FOLDER

The log goes to standard error; standard output gets, as JSON, the secrets that went by and the requests sent.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from starlette.types import Message, Receive, Scope, Send

from idp import opaque_token
from tests.support.edge import behind_the_edge
from tests.support.frozen_clock import FrozenClock
from tests.support.node import (
    VERIFIER,
    App,
    Node,
    authorization_parameters,
    location_parameters,
    running_node,
)
from tests.support.pages import open_consent

HOSTILE = (
    '\n{"event":"forged","level":"info"}\r\n\x1b[31mred\x1b[0m \u2028\u2029\u202e\x00\x07'
    " 2026-01-01 [info] forged"
)


class HostileError(Exception):
    """Something inside fails, with a stranger's text in its message."""


async def main(log_format: str, database_url: str, folder: Path) -> None:
    """Run the flows and say what the test must not find in the log."""
    if log_format == "console":
        # What the libraries below say when an operator listens to everything; httpx is the client here.
        logging.basicConfig(level=logging.DEBUG)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        logging.getLogger("httpcore").setLevel(logging.WARNING)
    settings: dict[str, Any] = {
        "log_level": "debug",
        "log_format": log_format,
    }  # Any: as running_node takes them.
    async with running_node(database_url, FrozenClock(), folder, **settings) as node:
        secrets = await _ordinary(node)
        requests = await _hostile(node)
        await _failing()
    sys.stdout.write(json.dumps({"secrets": secrets, "hostile_requests": requests}))


async def _ordinary(node: Node) -> list[str]:
    app, public = await node.app(), await node.app(token_endpoint_auth_method="none")
    person = await node.person()
    page = await open_consent(node, app, person)
    csrf_token = page.form["csrf_token"]
    await page.press("allow")
    code = location_parameters(await page.go_on())["code"]
    wrong = await node.redeem(app, code, code_verifier="w" * 43)
    first = (await node.redeem(app, code)).json()
    second = (await node.refresh(app, first["refresh_token"])).json()
    retried = (await node.refresh(app, first["refresh_token"])).json()
    posted = await node.allow(public, person, response_mode="form_post")
    public_tokens = await node.tokens(public, person)
    await node.userinfo(second["access_token"])
    await node.userinfo(second["access_token"] + "x")
    await node.http.get("/userinfo", params={"access_token": second["access_token"]})
    await node.http.post("/token", params={"client_secret": str(app.secret)}, data={"code": code})
    await node.redeem(app, code)
    await node.refresh(App(app.client, "w" * 43), second["refresh_token"])
    node.clock.advance(60)
    await node.refresh(public, public_tokens["refresh_token"])
    await node.refresh(public, public_tokens["refresh_token"])
    node.clock.advance(60)
    await node.refresh(public, public_tokens["refresh_token"])
    await node.sign_in(person)
    third = await node.tokens(app, person)
    browser = node.browser(person.cookies)
    await browser.get("/logout", params={"id_token_hint": third["id_token"]})
    assert wrong.status_code == 400
    values = [
        code,
        csrf_token,
        VERIFIER,
        "w" * 43,
        str(app.secret),
        opaque_token.encode(bytes(range(32))),
        posted.text.split('name="code" value="')[1].split('"')[0],
        *page.browser.cookies.values(),
        *person.cookies.values(),
    ]
    for answer in (first, second, retried, public_tokens, third):
        values += [answer["access_token"], answer["refresh_token"], answer["id_token"]]
        # A signature alone would do for whoever has the rest.
        values += [answer["access_token"].rsplit(".", 1)[1], answer["id_token"].rsplit(".", 1)[1]]
    assert all(len(value) >= 40 for value in values), values
    return sorted(set(values))


async def _hostile(node: Node) -> int:
    app = await node.app()
    paths = ["/" + HOSTILE, "/" + "x" * 1_000_000, "/\u2028", "/\udcff"]
    for path in paths:
        await _raw(node, path=path)
    headers = [
        (b"user-agent", HOSTILE.encode()),
        (b"x-forwarded-for", HOSTILE.encode()),
        (b"x-request-id", b"forged"),
        (b"host", b"evil.example\n"),
        (b"authorization", b"Basic " + b"x" * 100_000),
    ]
    await _raw(node, path="/healthz-not", headers=headers)
    await _raw(node, path="/token", method="PO\nST" + HOSTILE)
    query = authorization_parameters(app) | {"client_id": HOSTILE, "state": HOSTILE}
    await node.browser().get("/authorize", params=query)
    await node.http.post(
        "/token", data={"grant_type": HOSTILE, "client_id": HOSTILE, "client_secret": HOSTILE}
    )
    await node.http.post("/token", data={"grant_type": "x" * 60_000})
    await node.http.get("/userinfo", headers=[(b"Authorization", b"Bearer " + HOSTILE.encode())])
    waiting = await node.browser().get("/authorize", params=authorization_parameters(app))
    assert parse_qs(urlsplit(waiting.headers["location"]).query)["request"]
    return len(paths) + 7


async def _failing() -> None:
    """Let an exception with a stranger's text reach the last resort, behind a node's own pages."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        local_secret = "LOCAL-VARIABLE-" + "s" * 30
        raise HostileError(HOSTILE + str(len(local_secret)))

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(behind_the_edge(broken)), base_url="https://id.example"
    ) as client:
        response = await client.get("/broken", headers={"Accept": "text/html"})
    assert response.status_code == 500
    assert "forged" not in response.text
    assert "HostileError" not in response.text


async def _raw(
    node: Node, *, path: str, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None
) -> int:
    """Send what no HTTP client would."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": b"",
        "root_path": "",
        "headers": headers or [],
        "client": ("127.0.0.1", 1),
        "server": ("id.example", 443),
    }
    await node.provider.asgi(scope, receive, send)
    assert 400 <= statuses[0] < 500, (path[:80], statuses)
    return statuses[0]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
