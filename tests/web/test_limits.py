"""What is too much, too deep or too slow is refused at once, and cheaply."""

import time

from tests.support.answers import contents
from tests.support.node import Node

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
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
