import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.clients.metadata import ClientMetadata, change_metadata, parse_metadata, restore_metadata
from idp.errors import InvalidClientMetadata, InvalidRedirectUri

MINIMAL: dict[str, object] = {
    "client_name": "Demo App",
    "redirect_uris": ["https://app.example.com/callback"],
}
MACHINE: dict[str, object] = {"client_name": "Nightly job", "grant_types": ["client_credentials"]}
FULL: dict[str, object] = {
    "client_name": "Ada\u2019s App \U0001f469\u200d\U0001f467",
    "redirect_uris": ["https://app.example.com/callback", "com.example.app:/callback"],
    "post_logout_redirect_uris": ["https://app.example.com/bye"],
    "token_endpoint_auth_method": "client_secret_post",
    "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    "response_types": ["code"],
    "scope": "openid reports:read",
    "application_type": "native",
    "client_uri": "https://app.example.com/",
    "logo_uri": "https://app.example.com/logo.png",
    "policy_uri": "https://app.example.com/legal#privacy",
    "tos_uri": "https://app.example.com/legal#terms",
    "contacts": ["ops@example.com"],
    "audiences": ["https://api.example.com/", "urn:example:api"],
    "default_audience": "urn:example:api",
    "backchannel_logout_uri": "https://app.example.com/backchannel",
    "backchannel_logout_session_required": True,
    "frontchannel_logout_uri": "https://app.example.com/frontchannel?x=1",
    "frontchannel_logout_session_required": True,
    "default_max_age": 0,
    "require_auth_time": True,
    "initiate_login_uri": "https://app.example.com/login",
    "dpop_bound_access_tokens": True,
    "require_pushed_authorization_requests": True,
    "userinfo_signed_response_alg": "RS256",
}

FAULTS: tuple[tuple[str, object], ...] = (
    ("client_name", ""),
    ("client_name", "a" * 65),
    ("client_name", " Demo"),
    ("client_name", "\u200b"),
    ("client_name", "Demo\nApp"),
    ("client_name", "Demo\x00"),
    ("client_name", "Demo\x1b[31m"),
    ("client_name", "Demo\u202eppA"),
    ("client_name", "Demo\u2066"),
    ("client_name", "Demo\u2028App"),
    ("client_name", "Demo\ud800"),
    ("client_name", 7),
    ("redirect_uris", "https://app.example.com/callback"),
    ("redirect_uris", [7]),
    ("redirect_uris", [f"https://app.example.com/{number}" for number in range(21)]),
    ("post_logout_redirect_uris", ["https://app.example.com/bye#"]),
    ("post_logout_redirect_uris", {"a": "b"}),
    ("token_endpoint_auth_method", "client_secret_jwt"),
    ("token_endpoint_auth_method", "client_secret_jwt"),
    ("token_endpoint_auth_method", ["none"]),
    ("grant_types", []),
    ("grant_types", ["password"]),
    ("grant_types", ["implicit"]),
    ("grant_types", "authorization_code"),
    ("response_types", ["token"]),
    ("response_types", []),
    ("scope", ["openid"]),
    ("scope", 'openid "x"'),
    ("scope", "openid\nprofile"),
    ("scope", "a" * 1_001),
    ("application_type", "spa"),
    ("client_uri", "http://app.example.com/"),
    ("logo_uri", "javascript:alert(1)"),
    ("logo_uri", "data:image/png;base64,AAAA"),
    ("logo_uri", "https://169.254.169.254/latest/meta-data"),
    ("tos_uri", "https://10.0.0.1/"),
    ("tos_uri", "https://[fd00::1]/"),
    ("tos_uri", "https://app.example.com/#\u202e"),
    ("policy_uri", "//app.example.com/"),
    ("policy_uri", "https://user@app.example.com/"),
    ("contacts", ["ops@example.com\r\nBcc: evil@example.com"]),
    ("contacts", ["x"] * 11),
    ("audiences", ["api"]),
    ("audiences", ["https://api.example.com/#x"]),
    ("audiences", ["javascript:alert(1)"]),
    ("audiences", "https://api.example.com/"),
    ("default_audience", "https://another.example.com/"),
    ("backchannel_logout_uri", "http://app.example.com/"),
    ("backchannel_logout_uri", "https://169.254.169.254/"),
    ("backchannel_logout_uri", "https://0.0.0.0/"),
    ("backchannel_logout_uri", "https://[ff02::1]/"),
    ("backchannel_logout_uri", "https://app.example.com/#x"),
    ("backchannel_logout_session_required", "true"),
    ("frontchannel_logout_uri", "https://evil.example.com/"),
    ("frontchannel_logout_uri", "https://app.example.com:8443/"),
    ("frontchannel_logout_session_required", 1),
    ("default_max_age", -1),
    ("default_max_age", True),
    ("default_max_age", 1.5),
    ("default_max_age", 10**12),
    ("require_auth_time", "yes"),
    ("initiate_login_uri", "http://app.example.com/"),
    ("dpop_bound_access_tokens", 0),
    ("require_pushed_authorization_requests", "false"),
    ("userinfo_signed_response_alg", "none"),
    ("userinfo_signed_response_alg", "HS256"),
)

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_what_is_left_open_gets_its_default() -> None:
    metadata = parse_metadata(MINIMAL)
    assert metadata.token_endpoint_auth_method == "client_secret_basic"
    assert metadata.grant_types == ("authorization_code", "refresh_token")
    assert metadata.response_types == ("code",)
    assert metadata.scopes == ("openid", "profile", "email", "offline_access")
    assert metadata.application_type == "web"
    assert metadata.dpop_bound_access_tokens is False
    assert not metadata.is_public


def test_a_machine_needs_neither_redirect_uris_nor_scopes_of_people() -> None:
    metadata = parse_metadata(MACHINE)
    assert metadata.response_types == ()
    assert metadata.scope == ""


def test_a_native_application_is_public_unless_it_says_otherwise() -> None:
    native = MINIMAL | {"application_type": "native"}
    assert parse_metadata(native).is_public
    assert not parse_metadata(native | {"token_endpoint_auth_method": "client_secret_basic"}).is_public


def test_every_field_survives_json_and_the_database() -> None:
    metadata = parse_metadata(FULL)
    assert metadata.to_dict() == FULL
    stored = json.loads(json.dumps(metadata.to_dict()))
    assert parse_metadata(stored) == metadata
    assert restore_metadata(stored) == metadata


def test_null_means_left_open() -> None:
    assert parse_metadata(MINIMAL | {"logo_uri": None, "scope": None}) == parse_metadata(MINIMAL)


def test_an_entry_given_twice_counts_once() -> None:
    uri = "https://app.example.com/callback"
    metadata = parse_metadata(MINIMAL | {"redirect_uris": [uri, uri], "scope": "openid  openid email"})
    assert metadata.redirect_uris == (uri,)
    assert metadata.scope == "openid email"


@pytest.mark.parametrize(("name", "value"), FAULTS)
def test_a_fault_is_refused_by_the_name_of_its_field(name: str, value: object) -> None:
    with pytest.raises((InvalidClientMetadata, InvalidRedirectUri)) as refusal:
        parse_metadata(MINIMAL | {name: value})
    assert refusal.value.description.startswith(name)
    # RFC 6749 §5.2: what an error_description may be written with.
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", refusal.value.description)


def test_a_bad_redirect_uri_has_an_error_code_of_its_own() -> None:
    uris = ["https://app.example.com/callback", "https://app.example.com/callback#x"]
    with pytest.raises(InvalidRedirectUri, match="redirect_uris, entry 2: must not have a fragment"):
        parse_metadata(MINIMAL | {"redirect_uris": uris})


@pytest.mark.parametrize("missing", ["client_name", "redirect_uris"])
def test_what_is_required_is_named(missing: str) -> None:
    values = {name: value for name, value in MINIMAL.items() if name != missing}
    with pytest.raises((InvalidClientMetadata, InvalidRedirectUri), match=f"{missing} is required"):
        parse_metadata(values)


@pytest.mark.parametrize("name", ["client_nmae", "jwks", "client_id", "client_secret", "client_name#fr"])
def test_an_unknown_field_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(InvalidClientMetadata, match=name):
        parse_metadata(MINIMAL | {name: "x"})


def test_an_unknown_field_is_not_echoed_when_its_name_is_odd() -> None:
    with pytest.raises(InvalidClientMetadata) as refusal:
        parse_metadata(MINIMAL | {"<script>\n": "x"})
    assert "script" not in refusal.value.description


def test_a_public_client_cannot_have_client_credentials() -> None:
    values = MINIMAL | {
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "client_credentials"],
    }
    with pytest.raises(InvalidClientMetadata, match="public"):
        parse_metadata(values)


def test_refresh_tokens_need_the_grant_that_brings_them() -> None:
    with pytest.raises(InvalidClientMetadata, match="refresh_token needs"):
        parse_metadata(MACHINE | {"grant_types": ["client_credentials", "refresh_token"]})


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9000/x", "http://localhost:9000/x", "https://127.0.0.1/x"])
@pytest.mark.parametrize("name", ["logo_uri", "backchannel_logout_uri", "initiate_login_uri"])
def test_loopback_addresses_are_allowed_for_development(name: str, uri: str) -> None:
    assert getattr(parse_metadata(MINIMAL | {name: uri}), name) == uri


def test_a_companys_own_network_may_hear_of_logouts() -> None:
    assert parse_metadata(MINIMAL | {"backchannel_logout_uri": "https://10.1.2.3/logout"})


def test_a_change_is_checked_together_with_what_stays() -> None:
    metadata = parse_metadata(MINIMAL)
    assert change_metadata(metadata, {"client_name": "New"}).redirect_uris == metadata.redirect_uris
    assert change_metadata(metadata, {"scope": "openid"}).scope == "openid"
    assert change_metadata(parse_metadata(FULL), {"logo_uri": None}).logo_uri is None
    machine = change_metadata(metadata, {"grant_types": ["client_credentials"], "redirect_uris": []})
    assert machine.response_types == ()
    with pytest.raises(InvalidRedirectUri, match="required"):
        change_metadata(metadata, {"redirect_uris": []})


def test_stored_metadata_of_a_newer_or_stricter_release_still_serves() -> None:
    stored: dict[str, object] = {
        "client_name": "Old\u202e",
        "redirect_uris": ["http://old.example/cb"],
        "x": 1,
    }
    restored = restore_metadata(stored)
    assert restored.redirect_uris == ("http://old.example/cb",)


@given(values=st.dictionaries(st.sampled_from(sorted(FULL)) | st.text(max_size=8), any_json, max_size=6))
def test_whatever_is_sent_is_read_or_refused(values: dict[str, object]) -> None:
    try:
        metadata = parse_metadata(MINIMAL | values)
    except (InvalidClientMetadata, InvalidRedirectUri):
        return
    assert isinstance(metadata, ClientMetadata)
    assert parse_metadata(metadata.to_dict()) == metadata
