"""What is too much, too deep or too slow is refused at once, and cheaply."""

import time

import pytest

from idp.accounts import email_address
from idp.clients.redirect_uri import match_registered
from idp.errors import InvalidRequest
from idp.web.parameters import parse_json_object
from tests.support.answers import contents
from tests.support.node import App, Node, Person, authorization_parameters

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Where a careless parser takes minutes, this is generous to a busy machine.
AT_ONCE_SECONDS = 1.0


class Stopwatch:
    """Asserts that a block is over at once."""

    def __enter__(self) -> None:
        self._started = time.process_time()

    def __exit__(self, *_: object) -> None:
        assert time.process_time() - self._started < AT_ONCE_SECONDS


ENDPOINTS = ("/token", "/userinfo", "/authorize", "/consent", "/logout", "/logout/confirm", "/revoke", "/par")


async def test_floods_of_fields_and_bytes_are_refused_at_once(node: Node) -> None:
    before = await contents(node)
    floods = {
        "ten thousand fields": b"&".join(b"a%d=b" % n for n in range(7_000)),
        "ampersands alone": b"&" * 65_000,
        "a megabyte in a name": b"x" * 1_000_000 + b"=1",
        "a megabyte in a value": b"x=" + b"%41" * 350_000,
        "percent signs": b"%" * 65_000,
        "a value that grows when it is spelt": b"state=" + "\u00fc".encode() * 30_000,
        "plus signs": b"a=" + b"+" * 65_000,
    }
    for path in ENDPOINTS:
        for name, body in floods.items():
            with Stopwatch():
                response = await node.http.post(path, content=body, headers=FORM)
            if response.status_code == 303:
                # A name without a value is none: nothing is carried on.
                assert response.headers["location"] in {"/authorize?", "/logout?"}
                continue
            assert 400 <= response.status_code < 500, (path, name)
            if len(body) > 65_536:
                assert response.status_code == 413, (path, name)
    assert await contents(node) == before


async def test_a_body_that_says_it_is_huge_is_not_read(node: Node) -> None:
    read = 0

    async def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1024

    for headers in (FORM | {"Content-Length": "999999999999"}, FORM):
        response = await node.http.post("/token", content=endless(), headers=headers)  # type: ignore[arg-type]  # an endless body

        assert response.status_code == 413
        assert read < 200


async def test_multipart_bombs_are_refused_unread(node: Node) -> None:
    for boundary in ("x", "x" * 60_000, "-" * 1000):
        for path in ENDPOINTS:
            with Stopwatch():
                response = await node.http.post(
                    path,
                    content=b"--" + b"\r\n" * 20_000,
                    headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
                )
            assert response.status_code == 415


@pytest.mark.parametrize(
    "bomb",
    [
        b'{"a":' * 100_000,
        b"[" * 60_000,
        b'{"a":' + b"1" * 1_000_000 + b"}",
        b'{"a":1' + b"0" * 60_000 + b"e-1}",
        b"{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}",
        b'{"a":"' + b"\\u0041" * 100_000 + b'"}',
        b'"' + b"\\" * 100_000,
    ],
    ids=["objects", "arrays", "digits", "exponent", "members", "escapes", "backslashes"],
)
def test_json_bombs_are_refused_at_once(bomb: bytes) -> None:
    with Stopwatch():
        try:
            parse_json_object(bomb)
        except InvalidRequest:
            return
    # What is no bomb but long is read at once, too.
    assert bomb.startswith(b'{"a":')


@pytest.mark.parametrize(
    "unit", ["a", "a.", ".", "@", "a@", "-", " ", "\t", "%", "a%", "/", "a/", ":", "[", "\\", '"', "(", "="]
)
def test_no_pattern_of_ours_is_slow_on_any_repetition(unit: str) -> None:
    text = unit * (50_000 // len(unit))
    with Stopwatch():
        for ending in ("", "!", "\n", "@x", "\x00"):
            email_address.parse(text + ending)
            match_registered(("https://app.example/cb", "http://127.0.0.1/cb"), text + ending)
            match_registered(("http://127.0.0.1/cb",), "http://127.0.0.1:" + text + ending)


async def test_no_header_is_slow_to_read(node: Node, app: App) -> None:
    query = authorization_parameters(app)
    for name in (
        "User-Agent",
        "Content-Type",
        "Accept",
        "Accept-Language",
        "Cookie",
        "If-None-Match",
        "X-Forwarded-For",
    ):
        for unit in ("a", ",", ";", "=", " ", '"', "a=b;", "*/*;q=0.1,", "\\"):
            with Stopwatch():
                response = await node.browser().get(
                    "/authorize", params=query, headers={name: unit * (50_000 // len(unit))}
                )
            assert response.status_code < 500, (name, unit)


async def test_no_header_of_a_client_is_slow_to_read(node: Node) -> None:
    for unit in ("a", "=", " ", "Basic ", "%", "+", ":", "."):
        for path in ("/token", "/userinfo"):
            with Stopwatch():
                response = await node.http.post(
                    path,
                    data={"grant_type": "x"},
                    headers={"Authorization": "Basic " + unit * (50_000 // len(unit))},
                )
            assert response.status_code == 401
            bearer = await node.http.get(
                "/userinfo", headers={"Authorization": "Bearer " + unit * (50_000 // len(unit))}
            )
            assert bearer.status_code == 401


async def test_waiting_requests_of_one_browser_cost_nobody_else(node: Node, app: App, person: Person) -> None:
    flood = node.browser()
    for number in range(100):
        await flood.get("/authorize", params=authorization_parameters(app) | {"state": f"{number}"})

    assert "code" in (await node.allow(app, person)).headers["location"]


async def test_a_token_endpoint_under_attack_serves_its_clients(node: Node, app: App, person: Person) -> None:
    tokens = await node.tokens(app, person)
    for body in (b"\xff" * 1000, b"&" * 60_000, b"grant_type=refresh_token&refresh_token=" + b"A" * 60_000):
        for _ in range(20):
            response = await node.http.post("/token", content=body, headers=FORM)
            assert response.status_code in {400, 401}

    assert (await node.refresh(app, tokens["refresh_token"])).status_code == 200
