"""The provider's keys: read once for many, never at a stranger's will, kept through its troubles."""

import asyncio

import pytest
from joserfc.jwk import ECKey, RSAKey

from idp.resource_server import AuthorizationServer, InvalidTokenError, UnavailableError
from tests.resource_server.checks import check
from tests.resource_server.provider import Provider, encoded, rsa_key
from tests.support.frozen_clock import FrozenClock

DAY = 86_400


async def test_a_thousand_tokens_at_once_read_the_keys_once(
    provider: Provider, server: AuthorizationServer
) -> None:
    provider.delay_seconds = 0.01
    token = provider.access_token()

    await asyncio.gather(*(check(server, token) for _ in range(1000)))

    assert provider.readings == ["/.well-known/openid-configuration", "/jwks"]


async def test_a_new_key_is_found_at_once(provider: Provider, server: AuthorizationServer) -> None:
    await check(server, provider.access_token())
    newer = rsa_key("two")
    provider.publish(newer)

    assert (await check(server, provider.access_token(key=newer))).subject == "ada"


def invented(number: int) -> str:
    header = {"alg": "RS256", "typ": "at+jwt", "kid": f"invented-{number}"}
    return f"{encoded(header)}.{encoded({'sub': 'ada'})}.AAAA"


async def test_ten_thousand_invented_keys_cause_one_reading_a_minute(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.access_token())
    for minute in range(1, 4):
        before = provider.readings_of("/jwks")
        for number in range(10_000 if minute == 1 else 10):
            with pytest.raises(InvalidTokenError):
                await check(server, invented(number))
        assert provider.readings_of("/jwks") == before + 1
        clock.advance(60)


async def test_invented_keys_keep_no_valid_token_out(provider: Provider, server: AuthorizationServer) -> None:
    await check(server, provider.access_token())
    provider.is_down = True

    for number in range(10):
        with pytest.raises(UnavailableError):
            await check(server, invented(number))
        assert (await check(server, provider.access_token())).subject == "ada"


async def test_a_slow_provider_delays_no_token_of_a_known_key(
    provider: Provider, server: AuthorizationServer
) -> None:
    await check(server, provider.access_token())
    provider.delay_seconds = 3600

    seeking = asyncio.create_task(check(server, invented(1)))
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(check(server, provider.access_token()), 1)).subject == "ada"
    seeking.cancel()
    await asyncio.gather(seeking, return_exceptions=True)


async def test_known_keys_stay_while_the_provider_is_out_of_reach_for_a_day(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.access_token())
    provider.is_down = True

    clock.advance(DAY)
    assert (await check(server, provider.access_token())).subject == "ada"
    clock.advance(1)
    with pytest.raises(UnavailableError):
        await check(server, provider.access_token())


async def test_a_key_that_was_taken_back_is_gone_within_five_minutes(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.access_token())
    withdrawn = provider.key
    provider.published.clear()
    provider.publish(rsa_key("two"))

    clock.advance(300)

    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(key=withdrawn))


async def test_nothing_is_said_about_a_token_before_keys_were_ever_read(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    provider.is_down = True
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await check(server, provider.access_token())
    assert len(provider.readings) == 1

    provider.is_down = False
    clock.advance(1)
    assert (await check(server, provider.access_token())).subject == "ada"


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(
    provider: Provider, server: AuthorizationServer
) -> None:
    provider.name = "https://other.example"

    with pytest.raises(UnavailableError):
        await check(server, provider.access_token())
    assert provider.readings_of("/jwks") == 0


async def test_a_clock_that_was_set_back_only_makes_it_read_again(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.access_token())
    clock.advance(-7200)

    assert (await check(server, provider.access_token())).subject == "ada"
    assert provider.readings_of("/jwks") == 2


@pytest.mark.parametrize(
    "spoilt",
    [{"use": "enc"}, {"alg": "PS256"}, {"kty": "oct"}, {"n": "AQAB"}, {"n": 7}, {"kid": 7}],
    ids=str,
)
async def test_a_key_for_anything_else_proves_no_signature(
    provider: Provider, server: AuthorizationServer, spoilt: dict[str, object]
) -> None:
    other = rsa_key("two")
    provider.publish(other)
    provider.published[-1] |= spoilt

    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(key=other))
    assert (await check(server, provider.access_token())).subject == "ada"


async def test_a_small_key_or_one_of_another_kind_is_passed_over(
    provider: Provider, server: AuthorizationServer
) -> None:
    small: RSAKey = rsa_key("small", 1024)
    provider.publish(small)
    provider.published.append(dict(ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=False)))
    provider.published.append({"kty": "OKP"})

    with pytest.raises(InvalidTokenError):
        await check(server, provider.access_token(key=small))
    assert (await check(server, provider.access_token())).subject == "ada"


async def test_an_empty_key_set_takes_no_known_key_away(
    provider: Provider, server: AuthorizationServer, clock: FrozenClock
) -> None:
    await check(server, provider.access_token())
    provider.published.clear()
    clock.advance(600)

    assert (await check(server, provider.access_token())).subject == "ada"
