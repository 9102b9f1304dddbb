"""A single-page app on oidc-client-ts, in a real browser: another origin, a public client, CORS."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import Register
from tests.journeys.visitor import Visitor, running_chromium
from tests.support.server_process import DevServer

FOLDER = Path(__file__).parent / "spa"
LIBRARY = "oidc-client-ts/dist/browser/oidc-client-ts.min.js"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@contextmanager
def served(documents: dict[str, tuple[str, bytes]]) -> Iterator[str]:
    """Serve documents by their path on an origin of their own; answer it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = documents.get(self.path.partition("?")[0])
            self.send_response(200 if found else 404)
            media_type, body = found or ("text/plain", b"")
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def single_page_app(dev: DevServer, register: Register, node_modules: Path) -> Iterator[str]:
    documents = {
        "/": ("text/html", (FOLDER / "index.html").read_bytes()),
        "/app.js": ("text/javascript", (FOLDER / "app.js").read_bytes()),
        "/oidc-client-ts.min.js": ("text/javascript", (node_modules / LIBRARY).read_bytes()),
    }
    with served(documents) as origin:
        app = register(
            client_name="Single-page app",
            redirect_uris=[f"{origin}/"],
            post_logout_redirect_uris=[f"{origin}/"],
            token_endpoint_auth_method="none",
        )
        settings = {"authority": dev.issuer, "client_id": app["client_id"]}
        documents["/settings.json"] = ("application/json", json.dumps(settings).encode())
        yield origin


def test_oidc_client_ts_signs_in_refreshes_and_signs_out(
    chromium: Browser, single_page_app: str, dev: DevServer
) -> None:
    with Visitor(chromium) as visitor:
        visitor.create_account(single_page_app, email="spa@example.com", name="Ada Lovelace")
        first = told(visitor)
        assert first["profile"]["iss"] == dev.issuer
        assert first["profile"]["email"] == "spa@example.com"

        visitor.press("Refresh")
        visitor.sees_heading("Refreshed, Ada Lovelace")
        second = told(visitor)
        assert second["profile"]["sub"] == first["profile"]["sub"]
        assert second["jti"] != first["jti"]

        visitor.press("Sign out")
        visitor.sees_heading("You are signed out")
        visitor.follow("Sign in")
        visitor.sees_heading("You are signed in, Ada Lovelace")
        assert visitor.faults == []


def told(visitor: Visitor) -> dict[str, Any]:  # Any: the profile's claims.
    shown: dict[str, Any] = json.loads(visitor.page.locator("#told").inner_text())
    return shown
