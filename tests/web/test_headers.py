"""The headers and the pages that every answer of the provider comes with."""

import asyncio

import httpx
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.errors import AuthorizationError, TemporarilyUnavailable, TooManyRequests
from idp.sessions.cookie import SessionCookies
from idp.settings import Sessions
from idp.storage import accounts
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


async def test_every_answer_carries_the_security_headers(node: Node, app: App, person: Person) -> None:
    for name, response in (await answers(node, app, person)).items():
        headers = response.headers
        assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains", name
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["x-frame-options"] == "DENY", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["cross-origin-opener-policy"] == "same-origin", name
        assert "camera=()" in headers["permissions-policy"], name
        assert len(headers["x-request-id"]) == 8, name
        assert "server" not in headers, name
        for once in ("content-security-policy", "cache-control", "x-frame-options", "referrer-policy"):
            assert len(headers.get_list(once)) == 1, (name, once)


async def test_every_policy_allows_no_frames_no_inline_and_no_strangers(
    node: Node, app: App, person: Person
) -> None:
    for name, response in (await answers(node, app, person)).items():
        directives = dict(
            directive.strip().split(" ", 1)
            for directive in response.headers["content-security-policy"].split(";")
        )
        assert directives["default-src"] == "'none'", name
        assert directives["frame-ancestors"] == "'none'", name
        assert directives["base-uri"] == "'none'", name
        for sources in directives.values():
            for word in ("unsafe", "*", "data:", "blob:", "http:"):
                assert word not in sources, (name, sources)
        for kind in ("script-src", "style-src", "img-src", "connect-src"):
            assert directives.get(kind, "'self'") == "'self'", name


async def test_no_page_loads_anything_from_elsewhere_or_inline(node: Node, app: App, person: Person) -> None:
    for name, response in (await answers(node, app, person)).items():
        if not response.headers.get("content-type", "").startswith("text/html"):
            continue
        text = response.text
        for attribute in ('src="', 'href="'):
            for address in [part.split('"', 1)[0] for part in text.split(attribute)[1:]]:
                assert address.startswith(("/", "#")), (name, address)
                assert not address.startswith("//"), (name, address)
        for inline in ("<style", "style=", "onclick", "onload", "onsubmit", "javascript:"):
            assert inline not in text, (name, inline)
        assert "<script>" not in text, name


async def test_only_a_form_that_leads_to_the_app_may_go_there(node: Node, app: App, person: Person) -> None:
    found = await answers(node, app, person)

    def form_action(name: str) -> str:
        policy = found[name].headers["content-security-policy"]
        return policy.split("form-action ")[1].split(";")[0]

    assert form_action("consent page") == "'self' https://app.example"
    assert form_action("form post") == "'self' https://app.example"
    assert form_action("error page") == "'self'"
    assert form_action("token") == "'none'"


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


async def test_what_must_not_be_kept_is_not_kept(node: Node, app: App, person: Person) -> None:
    kept = {"jwks", "metadata", "style"}
    for name, response in (await answers(node, app, person)).items():
        cache_control = response.headers["cache-control"]
        if name in kept:
            assert cache_control == "no-cache" or cache_control.startswith("public, max-age="), name
        else:
            assert cache_control == "no-store", name


async def test_no_answer_but_the_public_documents_is_readable_by_everyone(
    node: Node, app: App, person: Person
) -> None:
    for name, response in (await answers(node, app, person)).items():
        expected = "*" if name in {"jwks", "metadata"} else None
        assert response.headers.get("access-control-allow-origin") == expected, name
        assert "access-control-allow-credentials" not in response.headers, name


async def test_a_strangers_text_is_inert_on_every_page(node: Node, person: Person) -> None:
    app = await node.app(client_name=XSS)
    await node.provider.database.transact(
        accounts.rename, account_id=person.account_id, name=XSS, now=node.clock()
    )

    page = await open_consent(node, app, person)
    await page.press("allow")
    await page.go_on()
    pages = [
        page.response,
        await page.go_on(),
        await page.browser.get("/logout", params={"client_id": app.id, "state": XSS}),
        await node.allow(app, person, response_mode="form_post", state=XSS),
    ]

    for response in pages:
        assert response.status_code == 200
        assert "<script>alert" not in response.text
        assert "<img src=x" not in response.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text


async def test_nothing_of_the_request_stands_on_an_error_page(node: Node) -> None:
    for address in (
        "/error?error=<svg onload=x>&error_description=<svg onload=x>",
        "/<svg onload=x>",
        "/authorize?client_id=<svg onload=x>&redirect_uri=<svg onload=x>",
        "/authorize?request=<svg onload=x>",
        "/logout?id_token_hint=<svg onload=x>&state=<svg onload=x>",
        "/consent?request=<svg onload=x>",
    ):
        response = await node.http.get(address, headers=HTML)
        assert "svg onload" not in response.text


async def test_there_is_no_debug_surface(node: Node) -> None:
    for path in (
        "/docs", "/redoc", "/openapi.json", "/debug", "/debug/pprof", "/.git/config", "/.env", "/console",
        "/server-status", "/actuator", "/phpinfo.php", "/idp/app.py", "/templates/base.html", "/var/idp.db",
    ):  # fmt: skip
        assert (await node.http.get(path)).status_code == 404, path
    shown = await node.http.get("/authorize?debug=1", headers=HTML)
    assert "Traceback" not in shown.text


async def test_no_path_leads_out_of_the_static_files(node: Node) -> None:
    style = (await node.http.get("/static/style.css")).content
    for name in (
        "..%2fpages.py", "%2e%2e/pages.py", "../pages.py", "..%5cpages.py", "%2fetc%2fpasswd", "/etc/passwd",
        "style.css%00", "style.css/", "./style.css", "%252e%252e%252fpages.py", "", "..",
        "icons.svg/../style.css", "STYLE.CSS", "style.css%0a", "%c3%bc", "%ff",
    ):  # fmt: skip
        response = await node.http.get(httpx.URL(ISSUER, raw_path=b"/static/" + name.encode()))
        assert response.status_code == 404 or response.content == style, name
        for inside in (b"from idp", b"root:x"):
            assert inside not in response.content


async def test_ten_thousand_ranges_of_a_file_are_passed_over(node: Node) -> None:
    ranges = "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(10_000))

    response = await node.http.get("/static/style.css", headers={"Range": ranges})

    assert response.status_code == 200
    assert response.elapsed.total_seconds() < 1


async def test_a_file_is_not_sent_to_whom_has_it(node: Node) -> None:
    first = await node.http.get("/static/style.css")

    second = await node.http.get("/static/style.css", headers={"If-None-Match": first.headers["etag"]})

    assert second.status_code == 304
    assert second.content == b""


def raising(error: BaseException) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("SELECT secret FROM grants"),
        RecursionError(),
        MemoryError(),
        KeyError("x"),
        AssertionError(),
    ],
)
async def test_an_internal_error_shows_nothing_of_the_inside(error: Exception) -> None:
    transport = httpx.ASGITransport(behind_the_edge(raising(error)))
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as browser:
        page = await browser.get("/", headers=HTML)
        data = await browser.get("/", headers={"Accept": "application/json"})

    assert page.status_code == 500
    assert "Something went wrong on our side" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for response in (page, data):
        for inside in (type(error).__name__, "SELECT", "Traceback", "starlette", "python", "idp.web"):
            assert inside not in response.text
    assert data.json()["error"] == "server_error"


async def test_a_request_that_is_cancelled_takes_nothing_else_with_it(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    for delay in (0.0, 0.001, 0.003, 0.006):
        task = asyncio.create_task(node.refresh(app, tokens["refresh_token"]))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    response = await node.refresh(app, tokens["refresh_token"])

    assert response.status_code == 200
    assert (await node.grant(tokens)).generation == 2


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


async def test_an_answer_under_way_is_not_answered_twice() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError):
        await behind_the_edge(app)(
            {"type": "http", "headers": [], "method": "GET", "path": "/"}, receive, send
        )
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_the_sessions_cookie_is_kept_from_scripts_sites_and_plain_http(node: Node) -> None:
    response = Response()
    cookies = SessionCookies(node.provider.database, lifetimes=Sessions(), is_https=True)

    cookies.put(response, "t" * 43)

    name, _, rest = response.headers["set-cookie"].partition("=")
    attributes = {part.strip().lower() for part in rest.split(";")[1:]}
    assert name == "__Host-idp-session"
    assert attributes == {"httponly", "path=/", "samesite=lax", "secure", "max-age=604800"}
    assert len(response.headers["set-cookie"]) < 4096


async def test_the_hosts_name_in_a_request_changes_nothing(node: Node, app: App, person: Person) -> None:
    for host in ("evil.example", "id.example.evil", "id.example:1", "", "\u00ff"):
        headers = [(b"Host", host.encode("latin-1")), (b"X-Forwarded-Host", b"evil.example")]
        browser = node.browser(person.cookies)
        metadata = await browser.get("/.well-known/openid-configuration", headers=headers)
        sent_back = await browser.get("/authorize", params=authorization_parameters(app), headers=headers)
        refused = await browser.get("/userinfo", headers=headers)

        assert metadata.json()["issuer"] == ISSUER
        assert "evil" not in metadata.text
        assert sent_back.headers["location"].startswith("/consent?request=")
        assert refused.headers["www-authenticate"] == f'Bearer realm="{ISSUER}"'


# When the database fails inside a check, nothing is allowed.


async def drop(node: Node, table: str) -> None:
    async def execute(tx: Transaction) -> None:
        await tx.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_gone")

    await node.provider.database.transact(execute)


async def test_a_database_that_fails_is_503_and_never_allowed_or_refused(
    node: Node, app: App, person: Person
) -> None:
    tokens = await node.tokens(app, person)
    code = await node.code(app, person)
    await drop(node, "grants")

    for response in (
        await node.refresh(app, tokens["refresh_token"]),
        await node.redeem(app, code),
        await node.userinfo(tokens["access_token"]),
        await node.authorize(app, person),
    ):
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert "location" not in response.headers
        assert "grants" not in response.text


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
