"""Revoked before it expired: a service that holds keys and list alone knows it within the list's ttl."""

import asyncio
import zlib

import pytest

from idp.resource_server import AuthorizationServer, InvalidTokenError, UnavailableError
from idp.resource_server.status_lists import WhenUnknown
from tests.resource_server.checks import check
from tests.resource_server.provider import ISSUER, LIST_URI, Claims, Provider, encoded, rsa_key
from tests.support.frozen_clock import FrozenClock

LIST = "/status-lists/0"


async def test_a_revoked_token_is_refused_and_its_neighbours_are_not(
    provider: Provider, server: AuthorizationServer
) -> None:
    provider.revoked = {9}

    with pytest.raises(InvalidTokenError, match="revoked"):
        await check(server, provider.listed_token(9))
    for neighbour in (0, 1, 8, 10, 14, 17, 999):
        assert (await check(server, provider.listed_token(neighbour))).subject == "ada"


async def test_a_token_revoked_after_the_list_was_read_is_refused_when_its_ttl_is_over(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.listed_token(7))
    provider.revoked = {7}

    clock.advance(9.9)
    assert (await check(server, provider.listed_token(7))).subject == "ada"
    clock.advance(0.1)
    with pytest.raises(InvalidTokenError):
        await check(server, provider.listed_token(7))
    assert provider.readings_of(LIST) == 2


async def test_a_list_that_was_held_up_on_the_way_is_no_younger_for_it(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    provider.list_changes = {"iat": int(clock().timestamp()) - 8}
    await check(server, provider.listed_token(7))
    provider.revoked = {7}
    provider.list_changes = {}

    clock.advance(2)

    with pytest.raises(InvalidTokenError):
        await check(server, provider.listed_token(7))


async def test_a_thousand_tokens_at_once_read_a_list_once(
    provider: Provider, server: AuthorizationServer
) -> None:
    provider.delay_seconds = 0.01

    await asyncio.gather(*(check(server, provider.listed_token(n)) for n in range(100)))

    assert provider.readings_of(LIST) == 1


async def test_while_the_list_cannot_be_read_the_known_one_is_good_until_it_expires(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    provider.revoked = {9}
    await check(server, provider.listed_token(7))
    provider.is_down = True

    clock.advance(59)
    assert (await check(server, provider.listed_token(7))).subject == "ada"
    with pytest.raises(InvalidTokenError):
        await check(server, provider.listed_token(9))
    clock.advance(1)
    with pytest.raises(UnavailableError):
        await check(server, provider.listed_token(7))


async def test_a_service_may_choose_to_go_on_without_the_list(provider: Provider, clock: FrozenClock) -> None:
    choices: dict[WhenUnknown, bool] = {"refuse": False, "accept": True}
    for choice, expected in choices.items():
        server = AuthorizationServer(
            ISSUER,
            when_status_unknown=choice,
            http=provider.http,
            clock=lambda: clock().timestamp(),
        )
        await check(server, provider.access_token())
        provider.is_down = True
        try:
            await check(server, provider.listed_token(7))
            is_accepted = True
        except UnavailableError:
            is_accepted = False
        provider.is_down = False
        assert is_accepted is expected


async def test_a_provider_out_of_reach_is_not_asked_at_every_request(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.access_token())
    provider.is_down = True
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await check(server, provider.listed_token(7))
    assert provider.readings_of(LIST) == 1

    provider.is_down = False
    clock.advance(1)
    assert (await check(server, provider.listed_token(7))).subject == "ada"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": rsa_key("stranger")},
        {"header": {"typ": "at+jwt"}},
        {"header": {"typ": "JWT"}},
        {"header": {"alg": "PS256"}},
        {"sub": None},
        {"sub": f"{ISSUER}/status-lists/1"},
        {"iat": None},
        {"iat": 4_102_444_800},
        {"exp": 1},
        {"ttl": 0},
        {"ttl": "10"},
        {"status_list": None},
        {"status_list": []},
        {"status_list": {"bits": 1}},
        {"status_list": {"bits": 3, "lst": encoded(zlib.compress(bytes(125)))}},
        {"status_list": {"bits": 1, "lst": "é"}},
        {"status_list": {"bits": 1, "lst": encoded(b"not deflated")}},
        {"status_list": {"bits": 1, "lst": encoded(zlib.compress(bytes(125))[:-6])}},
        {"status_list": {"bits": 1, "lst": encoded(zlib.compress(bytes(64_000_000)))}},
    ],
    ids=lambda changes: str(changes)[:40],
)
async def test_a_list_that_is_not_right_in_every_word_is_no_list(
    provider: Provider, server: AuthorizationServer, changes: Claims
) -> None:
    provider.list_changes = changes

    with pytest.raises(UnavailableError):
        await check(server, provider.listed_token(7))


async def test_a_forged_list_does_not_replace_a_good_one(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    provider.revoked = {7}
    with pytest.raises(InvalidTokenError):
        await check(server, provider.listed_token(7))
    provider.list_changes = {"key": rsa_key("stranger"), "header": {"kid": "one"}}
    provider.revoked = set()
    clock.advance(20)

    with pytest.raises(InvalidTokenError):
        await check(server, provider.listed_token(7))


@pytest.mark.parametrize(
    "status",
    [
        {},
        [],
        "x",
        {"status_list": None},
        {"status_list": {"idx": 7}},
        {"status_list": {"uri": LIST_URI}},
        {"status_list": {"idx": -1, "uri": LIST_URI}},
        {"status_list": {"idx": "7", "uri": LIST_URI}},
        {"status_list": {"idx": True, "uri": LIST_URI}},
        {"status_list": {"idx": 1000, "uri": LIST_URI}},
        {"status_list": {"idx": 10**30, "uri": LIST_URI}},
        {"status_list": {"idx": 7, "uri": "https://evil.example/status-lists/0"}},
        {"status_list": {"idx": 7, "uri": "https://id.example.evil/status-lists/0"}},
    ],
    ids=lambda status: str(status)[:60],
)
async def test_a_status_that_cannot_be_looked_up_is_no_good_status(
    provider: Provider, server: AuthorizationServer, status: object
) -> None:
    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(status=status))


async def test_wider_statuses_are_read_too(provider: Provider, server: AuthorizationServer) -> None:
    # Draft §4.1, figure 2: a list of 2-bit statuses.
    content = bytes([0xC9, 0x44, 0xF9])
    provider.list_changes = {"status_list": {"bits": 2, "lst": encoded(zlib.compress(content))}}

    expected = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]
    for index, status in enumerate(expected):
        if status == 0:
            assert await check(server, provider.listed_token(index))
        else:
            with pytest.raises(InvalidTokenError):
                await check(server, provider.listed_token(index))
