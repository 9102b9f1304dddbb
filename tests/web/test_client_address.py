"""Whose request it is: the nearest address that is none of our own proxies'."""

import ipaddress
import socket

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.web.client_address import MAX_FORWARDED_LENGTH, parse_networks, rate_limit_key, resolve
from tests.support.node import Node

PROXIES = parse_networks(("10.0.0.0/8", "192.0.2.1", "fd00::/8"))
STRANGER = "198.51.100.7"


def resolved(peer: str, *forwarded_for: str) -> str:
    return resolve(peer, forwarded_for=forwarded_for, trusted=PROXIES)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        (STRANGER, (), STRANGER),
        (STRANGER, ("203.0.113.9",), STRANGER),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4, 203.0.113.9, 192.0.2.1, 10.9.9.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4,, ,203.0.113.9,",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9, unknown",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9, _hidden, 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("203.0.113.9, localhost",), "10.0.0.1"),
        ("10.0.0.1", ("0x7f000001",), "10.0.0.1"),
        ("10.0.0.1", ("127.1",), "10.0.0.1"),
        ("10.0.0.1", ("010.0.0.1",), "10.0.0.1"),
        ("fd00::1", ("2001:db8::9",), "2001:db8::9"),
        ("fd00::1", ("fe80::1%eth0",), "fe80::1"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("::ffff:203.0.113.9",), "203.0.113.9"),
        ("::ffff:198.51.100.7", (), STRANGER),
        ("", ("203.0.113.9",), "unknown"),
        ("/run/idp.sock", ("203.0.113.9",), "unknown"),
    ],
)
def test_the_right_most_hop_that_is_not_ours_counts(
    peer: str, forwarded_for: tuple[str, ...], expected: str
) -> None:
    assert resolved(peer, *forwarded_for) == expected


@pytest.mark.parametrize("filler", ["1.2.3.4", "a.host.name", "x" * 100, "fe80::1%" + "z" * 50, "10.0.0.9x"])
def test_no_length_of_invented_hops_hides_the_nearest_one(filler: str) -> None:
    flood = ", ".join([filler] * 1000)

    assert resolved("10.0.0.1", f"{flood}, 203.0.113.9") == "203.0.113.9"
    assert resolved("10.0.0.1", *[filler] * 1000, "203.0.113.9") == "203.0.113.9"


def test_a_hop_that_the_length_limit_cuts_is_not_read() -> None:
    ours = ",10.0.0.2" * ((MAX_FORWARDED_LENGTH // len(",10.0.0.2")) + 1)
    for cut in range(len(",203.0.113.9")):
        hops = "203.0.113.9" + ours + "," * cut

        assert resolved("10.0.0.1", hops) in {"10.0.0.2", "203.0.113.9"}


@given(st.lists(st.text(max_size=40), max_size=20))
def test_whatever_is_forwarded_the_answer_is_an_address(forwarded_for: list[str]) -> None:
    ipaddress.ip_address(resolved("10.0.0.1", *forwarded_for))


@given(st.lists(st.ip_addresses().map(str), max_size=8), st.ip_addresses(v=4))
def test_whatever_a_stranger_forwards_changes_nothing(
    invented: list[str], peer: ipaddress.IPv4Address
) -> None:
    address = str(peer)
    if any(peer in network for network in PROXIES if network.version == 4):
        return

    assert resolved(address, ", ".join(invented)) == address
    # And through one of our proxies, which appends what it saw.
    assert resolved("10.0.0.1", ", ".join([*invented, address])) == address


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_subscriber_is_one_caller(address: str, key: str) -> None:
    assert rate_limit_key(address) == key


async def test_no_forwarded_header_makes_a_request_fail_or_ask_the_dns(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: asked.append(args))
    headers = [
        (b"X-Forwarded-For", value.encode("latin-1"))
        for value in (
            "attacker.example",
            "x" * 10_000,
            ", ".join(["::1%1"] * 1000),
            "\u00ff\u00fe",
            "[::1]:80",
        )
    ]
    browser = httpx.AsyncClient(
        transport=httpx.ASGITransport(node.provider.asgi, client=("127.0.0.1", 1)),
        base_url="https://id.example",
    )

    for header in headers:
        assert (await browser.get("/healthz", headers=[header])).status_code == 200
    assert (await browser.get("/healthz", headers=headers)).status_code == 200
    assert asked == []
