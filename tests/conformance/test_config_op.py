"""The one module of the plan Config OP."""

import re
from urllib.parse import urlsplit

from tests.conformance.conftest import Plan

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
# What each member is, by OIDC Discovery §3, RFC 8414 §2 and the texts that registered more of them.
SCHEMA: dict[str, type] = {
    **dict.fromkeys(
        (
            "issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri",
            "registration_endpoint", "end_session_endpoint", "revocation_endpoint", "introspection_endpoint",
            "pushed_authorization_request_endpoint", "device_authorization_endpoint", "check_session_iframe",
            "backchannel_authentication_endpoint", "service_documentation", "op_policy_uri", "op_tos_uri",
            "status_list_aggregation_endpoint",
        ),
        str,
    ),
    **dict.fromkeys(
        (
            "scopes_supported", "response_types_supported", "response_modes_supported",
            "grant_types_supported", "acr_values_supported", "subject_types_supported",
            "id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported",
            "request_object_signing_alg_values_supported", "token_endpoint_auth_methods_supported",
            "token_endpoint_auth_signing_alg_values_supported", "display_values_supported",
            "claim_types_supported", "claims_supported", "claims_locales_supported", "ui_locales_supported",
            "code_challenge_methods_supported", "revocation_endpoint_auth_methods_supported",
            "revocation_endpoint_auth_signing_alg_values_supported",
            "introspection_endpoint_auth_methods_supported",
            "introspection_endpoint_auth_signing_alg_values_supported",
            "introspection_signing_alg_values_supported", "dpop_signing_alg_values_supported",
            "prompt_values_supported", "authorization_details_types_supported",
            "authorization_signing_alg_values_supported",
        ),
        list,
    ),
    **dict.fromkeys(
        (
            "claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported",
            "require_request_uri_registration", "authorization_response_iss_parameter_supported",
            "require_pushed_authorization_requests", "require_signed_request_object",
            "backchannel_logout_supported", "backchannel_logout_session_supported",
            "frontchannel_logout_supported", "frontchannel_logout_session_supported",
            "client_id_metadata_document_supported", "tls_client_certificate_bound_access_tokens",
        ),
        bool,
    ),
}  # fmt: skip


async def test_oidcc_discovery_endpoint_verification(plan: Plan) -> None:
    suite = await plan(None)
    rp = await suite.client()
    address = f"{rp.issuer}/.well-known/openid-configuration"
    response = await suite.http.get(address)
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == "application/json"
    metadata = response.json()

    assert metadata["issuer"] == address.removesuffix("/.well-known/openid-configuration")
    issuer = urlsplit(metadata["issuer"])
    assert (issuer.scheme, issuer.query, issuer.fragment) == ("https", "", "")
    for name, value in metadata.items():
        assert type(value) is SCHEMA[name], name
        if isinstance(value, list):
            assert value, name
            assert all(isinstance(entry, str) for entry in value), name
            assert len(set(value)) == len(value), name
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        assert name in metadata
    for name, value in metadata.items():
        if name.endswith("_endpoint") or name in {"jwks_uri", "check_session_iframe"}:
            assert urlsplit(value).scheme == "https", name
    assert set(metadata["response_types_supported"]) & {"code", "id_token", "id_token token"}
    assert set(metadata["subject_types_supported"]) <= {"public", "pairwise"}
    assert "RS256" in metadata["id_token_signing_alg_values_supported"]
    assert "openid" in metadata["scopes_supported"]
    assert all(SCOPE_TOKEN.fullmatch(scope) for scope in metadata["scopes_supported"])
    for name in ("ui_locales_supported", "claims_locales_supported"):
        assert all(LANGUAGE_TAG.fullmatch(tag) for tag in metadata.get(name, []))
    assert "RS256" in metadata.get("request_object_signing_alg_values_supported", ["RS256"])
    assert metadata["grant_types_supported"]
    assert metadata["claims_supported"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    # Absent would mean true.
    assert metadata["request_uri_parameter_supported"] is False
