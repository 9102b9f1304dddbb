from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp import opaque_token
from idp.clients import secret
from idp.clients.client import Client, LiveSecret
from idp.clients.metadata import parse_metadata

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
CURRENT = "current-secret-of-the-client"
ENDING = "secret-of-the-client-before-rotation"


def _client(*, is_disabled: bool = False, auth_method: str = "client_secret_basic") -> Client:
    values: dict[str, object] = {
        "client_name": "Demo",
        "redirect_uris": ["https://app.example.com/callback"],
        "token_endpoint_auth_method": auth_method,
    }
    return Client(
        id="demo",
        metadata=parse_metadata(values),
        is_first_party=False,
        token_epoch=0,
        version=1,
        is_disabled=is_disabled,
        secrets=(
            LiveSecret(opaque_token.sha256(CURRENT), expires_at=None),
            LiveSecret(opaque_token.sha256(ENDING), expires_at=NOW + timedelta(hours=1)),
        ),
        created_at=NOW,
        updated_at=NOW,
    )


def test_every_live_secret_matches() -> None:
    assert secret.matches(_client(), CURRENT, now=NOW)
    assert secret.matches(_client(), ENDING, now=NOW)


def test_a_secret_ends_at_the_moment_it_is_said_to() -> None:
    end = NOW + timedelta(hours=1)
    assert secret.matches(_client(), ENDING, now=end - timedelta(microseconds=1))
    assert not secret.matches(_client(), ENDING, now=end)
    assert secret.matches(_client(), CURRENT, now=end)


@pytest.mark.parametrize(
    "presented", ["", CURRENT + " ", CURRENT[:-1], CURRENT.upper(), "é", "\ud800", "a" * 10**6]
)
def test_anything_else_does_not_match(presented: str) -> None:
    assert not secret.matches(_client(), presented, now=NOW)


@given(presented=st.text(st.characters(), max_size=300))
def test_whatever_is_presented_is_answered(presented: str) -> None:
    assert secret.matches(_client(), presented, now=NOW) == (presented in {CURRENT, ENDING})


def test_an_unknown_a_disabled_and_a_public_client_match_nothing() -> None:
    assert not secret.matches(None, CURRENT, now=NOW)
    assert not secret.matches(_client(is_disabled=True), CURRENT, now=NOW)
    assert not secret.matches(_client(auth_method="none"), CURRENT, now=NOW)


def test_no_secret_is_the_digest_that_stands_in_for_none() -> None:
    assert not secret.matches(None, "", now=NOW)
    assert not secret.matches(None, "\x00" * 32, now=NOW)


def test_a_client_shows_no_digest_of_its_secrets() -> None:
    assert "secret" not in repr(_client()).replace("client_secret_basic", "")
