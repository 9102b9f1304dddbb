import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from idp.resource_server.signing_keys import RETRY_SECONDS
from tests.demo.issuer import AUDIENCE, Issuer, new_key


async def hello(browser: httpx.AsyncClient, token: str) -> httpx.Response:
    return await browser.get("/api/hello", headers={"Authorization": f"Bearer {token}"})


async def test_a_valid_access_token_opens_the_api(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    answer = await hello(browser, issuer.access_token())
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "Hello from the demo API.",
        "you_are": "ada",
        "through": "demo",
        "scope": "openid profile",
    }


async def test_one_of_several_audiences_is_enough(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    token = issuer.access_token(aud=["https://other.example", AUDIENCE])
    assert (await hello(browser, token)).status_code == 200


async def test_the_long_form_of_the_type_is_the_same_type(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    assert (await hello(browser, issuer.access_token(typ="application/AT+JWT"))).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "https://other.example/api"},
        {"aud": None},
        {"exp": None},
        {"exp": 1},
        {"iss": None},
        {"sub": None},
        {"client_id": None},
        {"iat": None},
        {"jti": None},
        {"nbf": 4_102_444_800},
        {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
    ],
    ids=lambda changes: "-".join(f"{name}-{value}" for name, value in changes.items()),
)
async def test_a_token_with_a_wrong_or_missing_claim_is_refused(
    issuer: Issuer, browser: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    answer = await hello(browser, issuer.access_token(**changes))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("typ", ["JWT", "at", "dpop+jwt", "logout+jwt"])
async def test_a_token_of_another_type_is_refused(
    issuer: Issuer, browser: httpx.AsyncClient, typ: str
) -> None:
    assert (await hello(browser, issuer.access_token(typ=typ))).status_code == 401


async def test_an_id_token_is_no_access_token(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    token = issuer.id_token(nonce=None, access_token="x", aud=AUDIENCE)
    assert (await hello(browser, token)).status_code == 401


async def test_a_token_just_expired_says_so(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    answer = await hello(browser, issuer.access_token(exp=int(time.time()) - 30))
    assert answer.json() == {"error": "invalid_token", "error_description": "the token has expired"}


async def test_a_strangers_key_of_the_same_id_is_refused(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    assert (await hello(browser, issuer.access_token(key=new_key("one")))).status_code == 401


async def test_a_token_without_a_signature_is_refused(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    header, payload, _ = issuer.access_token().split(".")
    unsigned = _encoded({"alg": "none", "typ": "at+jwt", "kid": "one"})
    assert (await hello(browser, f"{header}.{payload}.")).status_code == 401
    assert (await hello(browser, f"{unsigned}.{payload}.")).status_code == 401


async def test_the_public_key_is_no_secret_to_sign_with(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    # CVE-2022-29217 and its kind: HS256 with the RSA key's public half as the secret.
    _, payload, _ = issuer.access_token().split(".")
    signed = _encoded({"alg": "HS256", "typ": "at+jwt", "kid": "one"}) + "." + payload
    digest = hmac.digest(issuer.key.as_pem(private=False), signed.encode(), hashlib.sha256)
    forged = signed + "." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert (await hello(browser, forged)).status_code == 401


def _encoded(header: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("value", [None, "Basic ZGVtbzp4", "Bearer", "Bearer "])
async def test_without_a_bearer_token_no_error_is_named(
    browser: httpx.AsyncClient, value: str | None
) -> None:
    answer = await browser.get("/api/hello", headers={"Authorization": value} if value else {})
    assert answer.status_code == 401
    assert "error" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "é"])
async def test_what_is_no_token_is_refused(browser: httpx.AsyncClient, token: str) -> None:
    answer = await browser.get("/api/hello", headers=[(b"Authorization", f"Bearer {token}".encode())])
    assert answer.status_code == 401


async def test_keys_are_read_once_for_many_tokens(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    for _ in range(3):
        assert (await hello(browser, issuer.access_token())).status_code == 200
    assert issuer.jwks_readings == 1


async def test_a_new_key_is_found_without_a_restart(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    assert (await hello(browser, issuer.access_token())).status_code == 200
    newer = new_key("two")
    issuer.published.append(newer)
    assert (await hello(browser, issuer.access_token(key=newer))).status_code == 200
    assert issuer.jwks_readings == 2


async def test_invented_key_ids_do_not_make_it_ask_again_and_again(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    await hello(browser, issuer.access_token())
    for number in range(3):
        stranger = new_key(f"stranger-{number}")
        assert (await hello(browser, issuer.access_token(key=stranger))).status_code == 401
    assert issuer.jwks_readings == 2


async def test_a_key_for_encryption_proves_no_signature(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    for_encryption = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}, auto_kid=False)
    issuer.published.append(for_encryption)
    members = for_encryption.as_dict(private=True)
    signing = RSAKey.import_key({name: str(value) for name, value in members.items() if name != "use"})
    assert (await hello(browser, issuer.access_token(key=signing))).status_code == 401


async def test_nothing_is_said_about_a_token_while_the_keys_cannot_be_read(
    issuer: Issuer, browser: httpx.AsyncClient
) -> None:
    issuer.is_down = True
    assert (await hello(browser, issuer.access_token())).status_code == 503
    issuer.is_down = False
    await asyncio.sleep(RETRY_SECONDS)
    assert (await hello(browser, issuer.access_token())).status_code == 200


async def test_metadata_of_another_issuer_is_not_believed(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    issuer.name = "https://other.example"
    assert (await hello(browser, issuer.access_token())).status_code == 503


async def test_a_client_is_told_whose_tokens_open_the_api(issuer: Issuer, browser: httpx.AsyncClient) -> None:
    refused = await browser.get("/api/hello")

    address = "http://localhost:9000/.well-known/oauth-protected-resource/api"
    assert f'resource_metadata="{address}"' in refused.headers["www-authenticate"]
    metadata = (await browser.get(address)).json()
    assert metadata["resource"] == AUDIENCE
    assert metadata["authorization_servers"] == [issuer.address]
