"""What tests ask of an answer again and again: an error page, an error for the client, nothing changed."""

from urllib.parse import urlsplit

import httpx
import sqlalchemy as sa

from idp.storage import tables
from idp.storage.database import Transaction
from tests.support.node import ISSUER, Node, location_parameters

# RFC 6749 §4.1.2.1: what error and error_description may be written with.
_ERROR_CHARACTERS = {0x20, 0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)}


def assert_error_page(response: httpx.Response, *, status: int = 400) -> None:
    """A page for a person: nothing is redirected."""
    assert response.status_code == status, response.text
    assert "location" not in response.headers
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"] in response.text.replace("-", "")


def assert_json_error(response: httpx.Response, code: str, *, status: int = 400) -> None:
    """An error of a protocol endpoint, in its registered words."""
    assert (response.status_code, response.json().get("error")) == (status, code), response.text
    assert response.headers["cache-control"] == "no-store"
    assert set(response.json()) == {"error", "error_description"}
    assert_error_text(response.json()["error_description"])


def assert_bearer_error(response: httpx.Response, code: str, *, status: int) -> None:
    """An error of a protected resource (RFC 6750 §3)."""
    assert_json_error(response, code, status=status)
    assert response.headers["www-authenticate"].startswith(f'Bearer realm="{ISSUER}", error="{code}"')


def assert_redirected_error(response: httpx.Response, code: str, *, state: str | None = "s-1") -> None:
    """An error that the client gets: its code, its state, our issuer, and nothing else."""
    assert response.status_code == 303, response.text
    answer = location_parameters(response)
    expected = {"error", "error_description", "iss"} | ({"state"} if state is not None else set())
    assert set(answer) == expected
    assert answer["error"] == code, answer
    assert answer["iss"] == ISSUER
    assert answer.get("state") == state
    assert urlsplit(response.headers["location"]).fragment == ""
    assert_error_text(answer["error_description"])


def assert_error_text(text: str) -> None:
    """RFC 6749 §4.1.2.1: no quotation mark, no backslash, printable ASCII alone."""
    assert text
    assert set(map(ord, text)) <= _ERROR_CHARACTERS


async def contents(node: Node) -> dict[str, list[str]]:
    """Every row of every table: equal before and after means that nothing was issued or changed."""
    return await node.provider.database.read(_contents)


async def _contents(tx: Transaction) -> dict[str, list[str]]:
    return {
        table.name: sorted(repr(tuple(row)) for row in await tx.execute(sa.select(table)))
        for table in tables.metadata.sorted_tables
    }
