"""docs/specifications.md, the metadata and the routes say the same."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.frozen_clock import FrozenClock
from tests.support.node import ISSUER, Node, running_node

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "specifications.md"
NAMED_TEST = re.compile(r"`(tests/[^`]+)`")


def rows(heading: str) -> list[list[str]]:
    """Read the table under a heading, without its first two lines."""
    section = PAGE.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


TEXTS = [
    row
    for heading in ("OAuth", "OpenID Connect", "Signatures", "Passkeys and the browser")
    for row in rows(heading)
]


@pytest.fixture
async def node(sqlite_url: str, clock: FrozenClock, tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(sqlite_url, clock, tmp_path) as running:
        yield running


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row[0])
def test_whatever_is_held_is_shown_by_a_test_that_exists(row: list[str]) -> None:
    _text, held, how_far, shown_by = row
    tests = NAMED_TEST.findall(shown_by)
    assert held in {"yes", "partly", "no"}
    assert bool(tests) == (held != "no")
    assert how_far or held != "partly", "partly needs to say which part"
    for named in tests:
        file, _, test = named.partition("::")
        assert (ROOT / file).is_file(), named
        source = (ROOT / file).read_text()
        assert f"def {test}(" in source if test else "def test_" in source, named


def test_every_text_is_listed_once() -> None:
    texts = [row[0] for row in TEXTS]
    assert len(set(texts)) == len(texts)


async def test_the_page_lists_the_addresses_that_the_metadata_name(node: Node) -> None:
    metadata = (await node.http.get("/.well-known/openid-configuration")).json()
    assert (await node.http.get("/.well-known/oauth-authorization-server")).json() == metadata
    named = {
        name: value
        for name, value in metadata.items()
        if name.endswith(("_endpoint", "_iframe")) or name == "jwks_uri"
    }
    listed = {member.strip("`"): ISSUER + path.strip("`") for member, path, _text in rows("Addresses")}
    assert listed == named


async def test_every_address_that_the_metadata_name_is_a_route(node: Node) -> None:
    nowhere = await node.http.get("/no-such-endpoint")
    assert nowhere.status_code == 404
    for _member, path, _text in rows("Addresses"):
        address = path.strip("`")
        assert urlsplit(ISSUER + address).path == address
        statuses = {(await node.http.request(verb, address)).status_code for verb in ("GET", "POST")}
        assert 404 not in statuses, address
        # There, and for at least one of the two verbs.
        assert statuses != {405}, address


async def test_what_the_page_says_is_not_offered_is_not_in_the_metadata(node: Node) -> None:
    metadata = (await node.http.get("/.well-known/openid-configuration")).json()
    members = {
        "RFC 7591, RFC 7592 Dynamic Client Registration": "registration_endpoint",
        "RFC 8628 Device Authorization Grant": "device_authorization_endpoint",
        "RFC 8705 Mutual TLS": "tls_client_certificate_bound_access_tokens",
        "RFC 9101 JWT-Secured Authorization Requests": "request_object_signing_alg_values_supported",
        "RFC 9126 Pushed Authorization Requests": "pushed_authorization_request_endpoint",
        "RFC 9396 Rich Authorization Requests": "authorization_details_types_supported",
        "RFC 9449 DPoP": "dpop_signing_alg_values_supported",
        "RFC 7009 Token Revocation": "revocation_endpoint",
        "RFC 7662 Token Introspection": "introspection_endpoint",
        "Token Status List (draft)": "status_list_aggregation_endpoint",
        "Client ID Metadata Documents (draft)": "client_id_metadata_document_supported",
        "RP-Initiated Logout 1.0": "end_session_endpoint",
        "Back-Channel Logout 1.0": "backchannel_logout_supported",
        "Front-Channel Logout 1.0": "frontchannel_logout_supported",
        "Session Management 1.0": "check_session_iframe",
    }
    held = {row[0]: row[1] != "no" for row in TEXTS}
    assert {text: bool(metadata.get(member)) for text, member in members.items()} == {
        text: held[text] for text in members
    }
