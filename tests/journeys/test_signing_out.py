"""Signing out in a real browser: apps told behind its back, and apps told by its frames."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import expect

from tests.journeys.visitor import Visitor
from tests.support.node import CHALLENGE
from tests.support.server_process import DevServer, IdpProcess


@contextmanager
def running_app() -> Iterator[tuple[str, list[str]]]:
    """Serve an app that answers whatever is asked; answer its origin, and what was asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>App</title><h1>The other app</h1>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def register(dev: DevServer, metadata: dict[str, object]) -> str:
    """Register an app with the command, beside the running server."""
    folder = dev.process.folder
    file = folder / "client.json"
    file.write_text(json.dumps(metadata))
    command = IdpProcess(
        *("client", "create", "--json", "--from", str(file)),
        folder=folder,
        environment={"IDP_ISSUER": dev.issuer},
    )
    assert command.wait() == 0, command.output
    client_id: str = json.loads(command.output)["client_id"]
    return client_id


def test_the_app_is_told_and_the_page_turns_to_signed_out(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="out@example.com", name="Out")
    visitor.page.goto(f"{dev.issuer}/account")
    visitor.press("Sign out")

    visitor.sees_heading("You are signed out")
    line = visitor.page.get_by_role("listitem").filter(has_text="Demo App")
    # The page asks again by itself while the app is being told.
    expect(line).to_contain_text("Signed out")
    expect(visitor.page.get_by_text("You can leave")).to_have_count(0)
    visitor.page.goto(dev.demo)
    visitor.sees("You signed out at the provider, so you are signed out here, too.")


def test_a_frame_tells_an_app_and_the_browser_goes_on_by_itself(dev: DevServer, visitor: Visitor) -> None:
    visitor.create_account(dev.demo, email="frame@example.com", name="Frame")
    with running_app() as (origin, asked):
        client_id = register(
            dev,
            {
                "client_name": "Framed App",
                "redirect_uris": [f"{origin}/cb"],
                "frontchannel_logout_uri": f"{origin}/front?tenant=1",
            },
        )
        request = {
            "client_id": client_id,
            "redirect_uri": f"{origin}/cb",
            "response_type": "code",
            "scope": "openid",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        visitor.page.goto(f"{dev.issuer}/authorize?{urlencode(request)}")
        visitor.press("Allow")
        visitor.sees_heading("The other app")
        visitor.page.goto(f"{dev.issuer}/account")
        visitor.press("Sign out")

        visitor.sees_heading("You are signed out")
        line = visitor.page.get_by_role("listitem").filter(has_text="Framed App")
        expect(line).to_contain_text("Asked by this browser")
        framed = [urlsplit(path) for path in asked if path.startswith("/front")]
    assert len(framed) == 1
    query = parse_qs(framed[0].query)
    assert query["tenant"] == ["1"]
    assert query["iss"] == [dev.issuer]
    assert len(query["sid"][0]) == 22
