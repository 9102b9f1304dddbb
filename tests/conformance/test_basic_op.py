"""The modules of the plans Basic OP and Form Post Basic, by the names that the OpenID Foundation gave them.

Warnings count as failures, and every request carries a code_challenge: it is required here.
"""

import base64
import json

import pytest

from tests.conformance.conftest import SECOND_CALLBACK, Suite
from tests.conformance.relying_party import (
    RelyingParty,
    base_flow,
    bits_of,
    check_claims,
    check_id_token,
    check_token_response,
)

SILENT_ERRORS = {
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
}
PROFILE_CLAIMS = {
    "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
    "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
}  # fmt: skip


def unsigned(**claims: str) -> str:
    """Spell a request object that nobody signed."""
    parts = ({"alg": "none"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join([*encoded, ""])


async def test_oidcc_server(suite: Suite, rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    assert flow.outcome.visited == ["/login", "/consent"]
    length, entropy = bits_of(flow.code)
    assert length >= 128
    assert entropy >= 96

    with_query = await suite.client(redirect_uri=SECOND_CALLBACK)
    answer = (await base_flow(with_query)).outcome.answer
    assert (answer["dummy1"], answer["dummy2"]) == ("lorem", "ipsum")


async def test_oidcc_response_type_missing(rp: RelyingParty) -> None:
    await rp.discover()
    assert await rp.refused(response_type=None) in {"invalid_request", "unsupported_response_type"}


async def test_oidcc_idtoken_signature(rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    assert flow.id_token_header["alg"] == "RS256"
    assert flow.id_token_header["kid"]


async def test_oidcc_idtoken_unsigned(rp: RelyingParty) -> None:
    discovery = await rp.discover()
    assert "none" not in discovery["id_token_signing_alg_values_supported"]


async def test_oidcc_userinfo_get(rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    assert flow.userinfo["sub"] == flow.id_token["sub"]


async def test_oidcc_userinfo_post_header(rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    headers = {"Authorization": f"Bearer {flow.tokens['access_token']}"}
    response = await rp.http.post(rp.discovery["userinfo_endpoint"], headers=headers)
    assert (response.status_code, response.json()["sub"]) == (200, flow.id_token["sub"])
    assert response.headers["content-type"].split(";")[0] == "application/json"


async def test_oidcc_userinfo_post_body(rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    form = {"access_token": flow.tokens["access_token"]}
    response = await rp.http.post(rp.discovery["userinfo_endpoint"], data=form)
    assert (response.status_code, response.json()["sub"]) == (200, flow.id_token["sub"])
    assert response.headers["content-type"].split(";")[0] == "application/json"


async def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(rp: RelyingParty) -> None:
    flow = await base_flow(rp, nonce=None)
    assert "nonce" not in flow.id_token


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("profile", PROFILE_CLAIMS),
        ("email", {"email", "email_verified"}),
        ("address", {"address"}),
        ("phone", {"phone_number", "phone_number_verified"}),
    ],
)
async def test_oidcc_scope(rp: RelyingParty, scope: str, claims: set[str]) -> None:
    """oidcc-scope-profile, oidcc-scope-email, oidcc-scope-address, oidcc-scope-phone"""
    flow = await base_flow(rp, scope=f"openid {scope}")
    assert scope in rp.discovery["scopes_supported"]
    assert claims <= set(rp.discovery["claims_supported"])
    # A claim of another scope would be a warning; so would one in the ID Token (base_flow).
    assert set(flow.userinfo) == {"sub", *claims}


async def test_oidcc_scope_all(rp: RelyingParty) -> None:
    flow = await base_flow(rp, scope="openid profile email address phone")
    everything = {"email", "email_verified", "address", "phone_number", "phone_number_verified"}
    assert set(flow.userinfo) == {"sub", *PROFILE_CLAIMS, *everything}


async def test_oidcc_alternate_happy_flow(rp: RelyingParty) -> None:
    await rp.discover()
    parameters = rp.request(scope="phone address email profile openid")
    outcome = await rp.authorize(dict(reversed(parameters.items())))
    tokens = check_token_response(await rp.redeem(outcome.answer["code"]))
    _, claims = await rp.verified(tokens["id_token"])
    check_id_token(rp, claims, nonce=parameters["nonce"], tokens=tokens, code=outcome.answer["code"])


@pytest.mark.parametrize("display", ["page", "popup"])
async def test_oidcc_display(rp: RelyingParty, display: str) -> None:
    """oidcc-display-page, oidcc-display-popup"""
    await base_flow(rp, display=display)
    assert display in rp.discovery["display_values_supported"]


async def test_oidcc_prompt_login(suite: Suite, rp: RelyingParty) -> None:
    first = await base_flow(rp)
    suite.node.clock.advance(1)
    second = await base_flow(rp, prompt="login")
    assert second.outcome.visited == ["/login"]
    assert second.id_token["auth_time"] > first.id_token["auth_time"]
    assert second.id_token["sub"] == first.id_token["sub"]


async def test_oidcc_prompt_none_not_logged_in(rp: RelyingParty) -> None:
    await rp.discover()
    outcome = await rp.authorize(rp.request(prompt="none"))
    assert outcome.visited == []
    assert outcome.answer["error"] in SILENT_ERRORS
    assert "code" not in outcome.answer


async def test_oidcc_prompt_none_logged_in(suite: Suite, rp: RelyingParty) -> None:
    first = await base_flow(rp)
    suite.node.clock.advance(1)
    second = await base_flow(rp, prompt="none")
    assert second.outcome.visited == []
    assert second.id_token["sub"] == first.id_token["sub"]
    assert second.id_token["auth_time"] == first.id_token["auth_time"]


async def test_oidcc_max_age_1(suite: Suite, rp: RelyingParty) -> None:
    first = await base_flow(rp)
    suite.node.clock.advance(1)
    second = await base_flow(rp, max_age="1")
    assert second.outcome.visited == ["/login"]
    assert second.id_token["auth_time"] > first.id_token["auth_time"]
    assert suite.node.clock().timestamp() - second.id_token["auth_time"] <= 1


async def test_oidcc_max_age_10000(suite: Suite, rp: RelyingParty) -> None:
    first = await base_flow(rp)
    suite.node.clock.advance(1)
    second = await base_flow(rp, max_age="10000")
    assert second.outcome.visited == []
    assert second.id_token["auth_time"] == first.id_token["auth_time"]
    assert second.id_token["sub"] == first.id_token["sub"]


async def test_oidcc_ensure_request_with_unknown_parameter_succeeds(rp: RelyingParty) -> None:
    await base_flow(rp, extra="foobar")


async def test_oidcc_id_token_hint(suite: Suite, rp: RelyingParty) -> None:
    first = await base_flow(rp)
    suite.node.clock.advance(1)
    second = await base_flow(rp, prompt="none", id_token_hint=first.raw_id_token)
    assert second.outcome.visited == []
    assert second.id_token["sub"] == first.id_token["sub"]
    assert second.id_token["auth_time"] == first.id_token["auth_time"]


async def test_oidcc_login_hint(rp: RelyingParty) -> None:
    await base_flow(rp, login_hint="ada@example.com")


async def test_oidcc_ui_locales(rp: RelyingParty) -> None:
    await base_flow(rp, ui_locales="se")


async def test_oidcc_claims_locales(rp: RelyingParty) -> None:
    await base_flow(rp, claims_locales="se")


async def test_oidcc_ensure_request_with_acr_values_succeeds(rp: RelyingParty) -> None:
    asked = (await rp.discover())["acr_values_supported"]
    flow = await base_flow(rp, acr_values=" ".join(asked))
    assert flow.id_token["acr"] in asked


async def test_oidcc_codereuse(rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    response = await rp.redeem(flow.code)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert response.headers["content-type"].split(";")[0] == "application/json"


async def test_oidcc_codereuse_30seconds(suite: Suite, rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    suite.node.clock.advance(30)
    response = await rp.redeem(flow.code)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert (await rp.ask_userinfo(flow.tokens["access_token"])).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": flow.tokens["refresh_token"]}
    assert (await rp.ask_token_endpoint(refresh)).json()["error"] == "invalid_grant"


async def test_oidcc_ensure_registered_redirect_uri(rp: RelyingParty) -> None:
    await rp.discover()
    outcome = await rp.authorize(rp.request(redirect_uri=rp.redirect_uri + "/foobar"))
    assert outcome.callback is None
    assert outcome.visited == []
    assert outcome.page is not None
    assert outcome.page.status_code == 400
    assert outcome.page.headers["content-type"].startswith("text/html")


async def test_oidcc_ensure_post_request_succeeds(rp: RelyingParty) -> None:
    await base_flow(rp, by_post=True)


async def test_oidcc_server_client_secret_post(suite: Suite) -> None:
    rp = await suite.client(auth_method="client_secret_post")
    await base_flow(rp)
    assert "client_secret_post" in rp.discovery["token_endpoint_auth_methods_supported"]


async def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(
    rp: RelyingParty,
) -> None:
    discovery = await rp.discover()
    assert discovery["request_uri_parameter_supported"] is False
    assert "none" not in discovery.get("request_object_signing_alg_values_supported", [])
    assert await rp.refused(request_uri="https://suite.example/request.jwt") == "request_uri_not_supported"


async def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(
    rp: RelyingParty,
) -> None:
    await rp.discover()
    parameters = rp.request()
    parameters["request"] = unsigned(**parameters)
    outcome = await rp.authorize(parameters)
    assert "code" not in outcome.answer
    assert outcome.answer["error"] == "request_not_supported"


async def test_oidcc_claims_essential(rp: RelyingParty) -> None:
    flow = await base_flow(rp, claims='{"userinfo":{"name":{"essential":true}}}')
    assert rp.discovery["claims_parameter_supported"] is True
    assert flow.userinfo["name"] == "Ada Lovelace"


async def test_oidcc_ensure_request_object_with_redirect_uri(rp: RelyingParty) -> None:
    await rp.discover()
    parameters = rp.request()
    parameters["request"] = unsigned(**(parameters | {"redirect_uri": rp.redirect_uri + "/foobar"}))
    outcome = await rp.authorize(parameters)
    assert outcome.visited == []
    assert "code" not in outcome.answer


async def test_oidcc_refresh_token(suite: Suite, rp: RelyingParty) -> None:
    flow = await base_flow(rp, scope="openid offline_access", prompt="consent")
    assert "/consent" in flow.outcome.visited
    assert {"offline_access"} <= set(rp.discovery["scopes_supported"])
    assert "refresh_token" in rp.discovery["grant_types_supported"]
    suite.node.clock.advance(2)

    refresh = {"grant_type": "refresh_token", "refresh_token": flow.tokens["refresh_token"]}
    tokens = check_token_response(await rp.ask_token_endpoint(dict(refresh)))
    assert bits_of(tokens["refresh_token"])[1] >= 96
    assert bits_of(tokens["access_token"])[1] >= 96
    _, claims = await rp.verified(tokens["id_token"])
    for name in ("iss", "sub", "aud", "auth_time"):
        assert claims[name] == flow.id_token[name]
    assert claims["iat"] > flow.id_token["iat"]
    assert ("azp" in claims) == ("azp" in flow.id_token)
    check_claims(claims, now=rp.clock().timestamp())

    second = await suite.client(redirect_uri=SECOND_CALLBACK)
    await base_flow(second, scope="openid offline_access", prompt="consent")
    stolen = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    response = await second.ask_token_endpoint(dict(stolen))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    check_token_response(await rp.ask_token_endpoint(stolen))


async def test_oidcc_ensure_request_with_valid_pkce_succeeds(rp: RelyingParty) -> None:
    flow = await base_flow(rp)
    assert flow.tokens["access_token"]
    assert "S256" in rp.discovery["code_challenge_methods_supported"]


async def test_pkce_is_required_and_says_so(rp: RelyingParty) -> None:
    """No module of the suite: what a client learns that sends none."""
    await rp.discover()
    outcome = await rp.authorize(rp.request(code_challenge=None, code_challenge_method=None))
    assert outcome.answer["error"] == "invalid_request"
    assert outcome.answer["error_description"] == "code_challenge is required (S256)"
